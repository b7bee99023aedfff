"""How the bundled model in ``ensue/tiny`` is made: corpus, tokenizer, training, evaluation."""
