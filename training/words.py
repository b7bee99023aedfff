"""The word lists that the corpus grammar draws from. Data only: nothing here knows about sentences."""


def listed(text: str, separator: str | None = None) -> list[str]:
    """The parts of ``text`` between spaces or separators."""
    return text.split(separator)


GIRLS = listed(
    "Mia Anna Lucy Ella Rosa Clara Ivy Lily Zoe Ruth Maya Emma Nina Sara Tess Vera Wendy Alma Bella Dora Eva Fay Gina "
    "Hanna Iris Jane Kira Lena Mona Nell Olga Pia Rita Sofia Tina Uma Wilma Yara Kate Amy"
)
BOYS = listed(
    "Tom Ben Max Leo Sam Tim Jack Finn Paul Otto Noah Adam Eric Karl Luke Mark Nick Omar Pete Ray Theo Victor Will "
    "Yan Zack Hugo Ivan Jim Ken Lars Milo Ned Olaf Rob Sven Toby Ali Bob Carl Dan"
)
HELD_OUT_GIRLS = ("Nora", "Greta", "Paula", "Stella", "Julia", "Edith")
HELD_OUT_BOYS = ("Oscar", "Felix", "Jonas", "Simon", "Arthur", "Bruno")

COLOURS = listed("red blue green yellow purple orange white black pink brown grey golden silver")
THINGS = listed(
    "kite|ball|boat|drum|doll|puppet|hat|scarf|cup|lamp|book|box|bag|bell|coat|blanket|basket|bucket|toy truck|"
    "toy train|wooden horse|paper plane|music box|spinning top|teddy bear|umbrella|mug|flute|ribbon|button|key|ring|"
    "whistle|lantern|backpack|notebook|jar|mitten|marble|balloon|pencil|brush|crown|mask|robot|bracelet",
    "|",
)
SIZES = listed("big small little tiny long round shiny old new pretty heavy soft")
PLACES = (
    ("the park", "in the park"),
    ("the garden", "in the garden"),
    ("the forest", "in the forest"),
    ("the beach", "on the beach"),
    ("the school yard", "in the school yard"),
    ("the market", "at the market"),
    ("the farm", "on the farm"),
    ("the river", "by the river"),
    ("the lake", "by the lake"),
    ("the hill", "on the hill"),
    ("the library", "in the library"),
    ("the village square", "in the village square"),
    ("the meadow", "in the meadow"),
    ("the old barn", "in the old barn"),
    ("the train station", "at the train station"),
    ("the harbour", "at the harbour"),
    ("the orchard", "in the orchard"),
    ("the playground", "on the playground"),
)
HIDING = listed(
    "under the bench|behind the old tree|inside a hollow log|under the stairs|behind the door|under a pile of leaves|"
    "next to the well|between two big rocks|in the tall grass|behind the fence|under the table|on top of the shelf|"
    "beside the gate|under the bed|in a wet bush|near the pond",
    "|",
)
ANIMALS = listed(
    "dog cat fox rabbit mouse bear duck hen goat sheep horse cow pig frog owl crow squirrel turtle hedgehog deer "
    "puppy kitten lamb goose parrot donkey badger beaver"
)
ELDERS = (
    ("mother", "she"),
    ("father", "he"),
    ("grandmother", "she"),
    ("grandfather", "he"),
    ("aunt", "she"),
    ("uncle", "he"),
    ("teacher", "she"),
    ("big sister", "she"),
    ("big brother", "he"),
    ("neighbour", "he"),
)
FOODS = (
    ("apple", "apples"),
    ("pear", "pears"),
    ("cookie", "cookies"),
    ("sandwich", "sandwiches"),
    ("muffin", "muffins"),
    ("plum", "plums"),
    ("pancake", "pancakes"),
    ("bun", "buns"),
    ("peach", "peaches"),
    ("carrot", "carrots"),
    ("banana", "bananas"),
    ("cherry pie", "cherry pies"),
    ("egg", "eggs"),
    ("orange", "oranges"),
)
PLANTS = listed("bean tomato sunflower rose pumpkin tulip lemon pepper daisy melon")
SKILLS = listed(
    "swim|ride a bike|whistle|draw a horse|play the flute|tie a knot|climb a rope|bake bread|dance|fly a kite|"
    "skate|count to fifty|row a boat|juggle|write a letter|sing a song",
    "|",
)
FEARS = listed(
    "the dark|the thunder|the deep water|the big dog|the high ladder|the loud wind|the empty house|the spider", "|"
)
TRAITS = listed("kind brave clever shy curious careful quiet cheerful patient funny gentle busy honest lazy proud")
NUMBERS = listed("zero one two three four five six seven eight nine ten eleven twelve")
NUMBERS += listed("thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty")
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed("January February March April May June July August September October November December")
SEASONS = listed("spring summer autumn winter")
CITIES = listed("Paris Rome Berlin Madrid London Lisbon Vienna Athens Oslo Dublin Cairo Tokyo")
JOBS = listed("baker farmer teacher doctor painter sailor driver cook singer builder nurse writer pilot gardener")
