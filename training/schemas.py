"""The story patterns, a table: a schema is a list of beats, a beat a list of patterns for one or more sentences.

Later beats repeat what earlier ones said (the colour, the thing, the owner), so that copying is rewarded.
Every pattern is in the past tense. The slots are those of `training.stories.Scene`.
"""

OPENINGS = (
    "Once upon a time, there was a {trait} {child} called {hero}.",
    "{hero} was a {trait} {child} who lived near {place}.",
    "There once was a {child} named {hero}. {He} was {trait} and liked to play {at}.",
    "One {daytime}, {hero} was {at} with {his} {elder}.",
    "{hero} and {friend} were good friends. They often met {at}.",
    "In a small house near {place} lived a {trait} {child} named {hero}.",
    "It was a {weather} {day}. {hero} put on {his} shoes and went to {place}.",
    "On a {weather} {daytime}, {hero} walked to {place} with {friend}.",
    "{hero} lived with {his} {elder} close to {place}. {He} was a very {trait} {child}.",
    "Every {day}, {hero} went to {place}. {He} liked it there because it was [quiet|sunny|green|full of birds].",
    "{hero} woke up early on {day}. The sky was {sky}, and {he} wanted to go to {place}.",
    "A {trait} {child} called {hero} had a best friend. The friend's name was {friend}.",
    "Long ago, a {child} named {hero} lived in a {colour2} house by {place}.",
    "{hero} was {age} years old. {He} was {trait}, and {he} loved {place}.",
    "Last {season}, {hero} and {his} {elder} spent a week near {place}.",
)

ANIMAL_OPENINGS = (
    "Once upon a time, a {trait} {animal} named {hero} lived near {place}.",
    "There was once a little {animal} called {hero}. {He} was very {trait}.",
    "{hero} was a {colour2} {animal}. {He} lived near {place} with {his} {elder}.",
    "Deep in the woods lived a {trait} {animal}. {His} name was {hero}.",
    "A {trait} {animal} named {hero} had a friend called {friend}, who was a {animal2}.",
    "On a {weather} {daytime}, {hero} the {animal} went for a walk with {friend} the {animal2}.",
)

LOST = (
    (
        "{He} had a {size} {colour} {thing}. It was a gift from {his} {elder}.",
        "{His} favourite thing was a {colour} {thing}. {He} took it everywhere.",
        "{hero} always carried a {colour} {thing}, because {his} {elder} had made it.",
        "{hero} had got a {colour} {thing} for {his} birthday. {He} loved it very much.",
        "In {his} bag {he} had a {size} {colour} {thing}. {He} was [very proud|so proud] of it.",
        "{He} owned only one toy, a {colour} {thing}, but {he} loved it dearly.",
    ),
    (
        "One day, the {thing} was gone. {hero} looked everywhere but could not find it.",
        "When {hero} came home, {he} could not find the {colour} {thing}.",
        "{He} played all day. Then {he} saw that the {thing} was missing.",
        "But when {he} opened {his} bag, the {colour} {thing} was not there.",
        "On the way home, the {thing} fell down, and {hero} did not notice it.",
        "A strong wind came up and carried the {colour} {thing} away.",
        'Suddenly {he} stopped. "Oh no, where is my {thing}?" {he} cried.',
    ),
    (
        "{hero} felt sad and began to cry. {friend} came and asked what was wrong.",
        '"I have lost my {colour} {thing}," {hero} said to {friend}.',
        '{friend} saw that {hero} was sad. "What has happened?" {fhe} asked.',
        "{He} asked {friend} for help, because {friend} had very good eyes.",
        '{hero} ran to {friend}. "Please help me find my {thing}," {he} said.',
        '"Have you seen a {colour} {thing}?" {hero} asked. {friend} shook {fhis} head.',
    ),
    (
        "They looked {hide2}, but there was only a {colour2} {thing2}.",
        "First they looked {hide2}. They found a {colour2} {thing2}, but not the {thing}.",
        "Together they searched for [an hour|a long time|the whole afternoon].",
        "{friend} looked {hide2}, and {hero} looked {hide}.",
        '"Let us think," said {friend}. "Where did you have it last?" {hero} thought about it. "{At}," {he} said.',
    ),
    (
        "At last, {friend} found the {colour} {thing} {hide}.",
        'Then {friend} called, "Here it is!" The {thing} was {hide}.',
        "Then something {colour} shone {hide}. It was the {thing}!",
        "In the end, it was a small {animal} that showed them the way. The {thing} lay {hide}.",
        "{hero} looked {hide}, and there was the {colour} {thing}.",
        "They went back, and there, {hide}, lay the {colour} {thing}.",
    ),
    (
        '"Thank you, {friend}," said {hero}, and {he} held the {colour} {thing} tight.',
        "{hero} was so happy that {he} hugged {friend}. From then on, {he} took good care of the {thing}.",
        "{hero} thanked {friend} and let {fhim} play with the {thing}.",
        "{hero} took the {colour} {thing} home and put it in a safe place.",
        "After that day, {hero} never left the {thing} behind again.",
        "{hero} wrote {his} name on the {thing}, so that it would never get lost again.",
    ),
)

BROKEN = (
    (
        "{friend} had a {colour} {thing}, and {hero} wanted to play with it.",
        "{friend} showed {hero} {fhis} new {colour} {thing}.",
        "That day, {friend} let {hero} hold {fhis} {colour} {thing}.",
        "The {colour} {thing} belonged to {friend}, but {hero} asked to borrow it.",
        '"May I borrow your {colour} {thing}?" {hero} asked. "Yes, but be careful," said {friend}.',
    ),
    (
        "{hero} ran too fast and tripped over a stone. The {thing} broke.",
        "But the {thing} slipped out of {his} hands and fell on the floor. It broke in two.",
        "{hero} pulled too hard, and with a loud crack the {thing} broke.",
        "{He} sat down and did not look. Crack! The {colour} {thing} was under {him}.",
        "The {thing} was wet, so it slipped from {his} hand and broke on a stone.",
    ),
    (
        "{hero} was afraid that {friend} would be angry, so {he} hid the {thing} {hide}.",
        "{hero} felt sick in {his} stomach. What would {friend} say?",
        "At first, {hero} wanted to run away. Then {he} thought about {friend}.",
        '"I must tell the truth," thought {hero}, but {he} was scared.',
        '{hero} asked {his} {elder} what to do. "Tell {friend} the truth," {his} {elder} said.',
    ),
    (
        '"I am sorry, {friend}. I broke your {thing}," {hero} said at last.',
        "{hero} went to {friend} and told {fhim} what had happened to the {colour} {thing}.",
        'So {hero} took a deep breath. "It was me," {he} said. "I broke the {colour} {thing}."',
        "{hero} gave the broken {thing} back to {friend} and said sorry.",
        '"Your {thing} is broken, and it is my fault," {hero} said to {friend}.',
    ),
    (
        "{friend} was sad, but {fhe} was glad that {hero} had told the truth.",
        '"I am sad about my {thing}," said {friend}, "but I am glad that you told me."',
        '{friend} was quiet for a moment. Then {fhe} smiled. "We can fix it together," {fhe} said.',
        "{friend} was angry at first, because the {thing} was a gift from {fhis} {elder2}.",
        "{friend} looked at the {colour} {thing} for a long time. Then {fhe} nodded.",
    ),
    (
        "They fixed the {thing} with [glue|tape|string|a nail], and soon it was as good as before.",
        "{hero} worked all evening. In the morning, the {colour} {thing} was whole again.",
        "{hero}'s {elder} helped them, and by evening the {thing} was fixed.",
        "{hero} gave {friend} {his} own {colour2} {thing2} instead, and {friend} was happy.",
        "They took the {thing} to the {job}, who mended it in no time.",
    ),
    (
        "{hero} learned that it is best to tell the truth.",
        "After that, {friend} trusted {hero} even more.",
        "From that day on, {hero} was careful with things that belonged to others.",
        "Then they went outside and played with the {colour} {thing} until it got dark.",
        "And so {hero} and {friend} stayed friends.",
    ),
)

SHARING = (
    (
        "{hero} had {number} {foods} in a {colour} {box}.",
        "{His} {elder} had given {him} {number} {foods} for lunch.",
        "That day, {hero} had a {colour} {box} with {number} {foods} in it.",
        "{hero} bought {number} {foods} at the market and put them in {his} {colour} {box}.",
    ),
    (
        "{friend} sat alone and had nothing to eat.",
        "Then {he} met {friend}. {friend} was hungry, because {fhe} had forgotten {fhis} lunch.",
        "{friend} came along. {Fhe} looked at the {foods} and said nothing.",
        '"I am so hungry," said {friend}. "A bird ate my lunch."',
        "{friend} had dropped {fhis} lunch in the mud and was very sad.",
    ),
    (
        "At first, {hero} did not want to share, because {he} loved {foods}.",
        "{hero} looked at the {foods}. Then {he} looked at {friend}.",
        '"Would you like {a_food}?" asked {hero}.',
        "{hero} thought about it. If {he} were hungry, {he} would want a friend to share.",
        '{hero} remembered what {his} {elder} always said: "It is good to share."',
    ),
    (
        "So {he} opened the {colour} {box} and gave {friend} half of the {foods}.",
        "So {hero} gave {friend} {a_food}, and they ate together {at}.",
        '"Take as many {foods} as you like," said {hero}, and {he} opened the {colour} {box}.',
        "{hero} put the {foods} between them. They took turns until the {box} was empty.",
    ),
    (
        '{friend} smiled with {fhis} mouth full. "These {foods} are the best," {fhe} said.',
        "{friend} was not hungry any more. {Fhe} thanked {hero} again and again.",
        "The {foods} tasted even better because they were shared.",
        "Soon both of them were full and happy.",
    ),
    (
        "The next day, {friend} brought {hero} a {colour2} {thing2} to say thank you.",
        "The next day, it was {friend} who brought lunch, and {fhe} shared it with {hero}.",
        "From then on, {hero} and {friend} always ate lunch together.",
        "{hero} went home with an empty {box} and a warm heart.",
    ),
)

WEATHER = (
    (
        "{hero} and {friend} wanted to have a picnic {at}.",
        "They planned to fly a {colour} kite {at}.",
        "{hero} wanted to show {friend} {his} {colour} {thing} {at}.",
        "They wanted to build a house out of branches {at}.",
    ),
    (
        "But dark clouds came, and soon it began to rain.",
        "Suddenly there was thunder, and big drops of rain fell.",
        "Then the wind grew strong. It blew {hero}'s {colour} hat away.",
        "Just as they sat down, it began to [rain|snow|hail].",
        "But the sky turned grey, and they got wet.",
    ),
    (
        "They ran to the old barn, because it was dry there.",
        "{friend} had a {colour2} umbrella, so they both stood under it.",
        '"Quick, under the big tree!" called {friend}. "No," said {hero}, "that is not safe. Let us go inside."',
        "They ran home as fast as they could. Their shoes were full of water.",
        "{hero} took {friend} by the hand, and they ran to {hero}'s house.",
    ),
    (
        "{hero} was sad because the day was spoiled.",
        '"Now our day is spoiled," said {hero}. {friend} shook {fhis} head.',
        "They were cold and wet, so {hero}'s {elder} made them hot [soup|milk|tea].",
        "{hero}'s {elder} gave them dry socks and a {colour} blanket.",
    ),
    (
        '"We can have our picnic on the floor," said {friend}, and so they did.',
        "Then {friend} had an idea. They made a tent out of the {colour} blanket.",
        "They sat by the window, ate {foods} and counted the drops on the glass.",
        "They told each other stories until the rain stopped.",
    ),
    (
        "When the sun came back, there was a rainbow over {place}.",
        "When the rain was over, they jumped into every puddle on the way back.",
        "In the evening, {hero} said that it had been the best day of the week.",
        "{hero} learned that a rainy day can be a good day too.",
    ),
)

RESCUE = (
    (
        "Near {place}, {hero} heard a soft sound. A little {colour} {pet} was stuck {stuck}.",
        "On the way, {he} saw a small {colour} {pet} that sat {hide}. It had hurt its leg.",
        "Then {hero} found a {colour} {pet} {hide}. It was cold and hungry.",
        "Suddenly there was a cry for help. A {colour} {pet} had fallen into a hole.",
        "{hero} saw a {colour} {pet} {hide}. It was all alone and could not find its home.",
    ),
    (
        '"Poor little {pet}," said {hero}. "I will help you."',
        "{hero} wanted to help the {pet}, but {he} was too small to do it alone.",
        "The {pet} was afraid, so {hero} sat down and spoke to it softly.",
        '"Do not be afraid," {hero} said to the {pet}.',
        "The {colour} {pet} looked at {hero} with big eyes.",
    ),
    (
        "{He} called {friend}, who came with a long rope.",
        "{hero} ran to {friend}'s house. {friend} brought a {colour2} {box}.",
        "{He} took off {his} {colour2} scarf and put it around the {pet}.",
        "{hero} fetched {his} {elder}, who knew what to do.",
        "{He} gave the {pet} some water and a piece of {his} {food}.",
    ),
    (
        "Slowly and carefully, they pulled the {pet} out.",
        "It took a long time, but at last the {colour} {pet} was safe.",
        "Then {hero} carried the {pet} home in {his} arms.",
        "They made a warm bed for the {pet} in a {box}.",
        "After a while, the {colour} {pet} stopped shaking and began to eat.",
    ),
    (
        "{hero} named the {pet} {petname}, because it was so {trait}.",
        "They called the {colour} {pet} {petname}.",
        '"Let us call it {petname}," said {friend}. {hero} liked the name.',
        '"You need a name," said {hero}. "I will call you {petname}."',
    ),
    (
        "{petname} got better day by day and followed {hero} everywhere.",
        "A week later, {petname} was well again and ran back to {place}. {hero} waved goodbye.",
        "From that day on, {hero} and {petname} the {pet} were never apart.",
        "Some days later, when {hero} was lost in the fog, it was {petname} who showed {him} the way home.",
        "{petname} was thankful, and the {pet} and {hero} became friends.",
    ),
)

SKILL = (
    (
        "{hero} wanted to learn how to {skill}, but it was hard.",
        "All {his} friends could {skill}. Only {hero} could not.",
        "{hero} had one big wish. {He} wanted to {skill}.",
        "{hero} saw {friend} {skill}, and {he} wanted to do it too.",
    ),
    (
        "{He} tried once, {he} tried twice, but it did not work.",
        "The first time, it went wrong, and some children laughed.",
        '"I will never be able to {skill}," {hero} said, and {he} sat down {at}.',
        "{He} tried all day. In the evening, {he} was tired and sad.",
    ),
    (
        '{friend} sat down next to {him}. "I could not {skill} at first, either," {fhe} said.',
        '"You must practise a little every day," said {his} {elder}.',
        '"Do not give up," said {friend}. "I will show you how."',
        "{friend} gave {him} a {colour} {thing} for good luck.",
    ),
    (
        "So {hero} practised on Monday, on Tuesday and on Wednesday.",
        "So every morning before breakfast, {hero} practised {at}.",
        "{friend} came every day and helped {him}.",
        "Each day went a little better than the day before.",
    ),
    (
        "And then, on {day}, it worked! {hero} could {skill}.",
        "At the end of the week, {hero} could {skill} all by {himself}.",
        '"Look at me!" {hero} called. "I can {skill}!"',
        "One day, {he} did it without thinking. {He} could really {skill}.",
    ),
    (
        '{friend} clapped {fhis} hands. "I knew that you could do it," {fhe} said.',
        "{His} {elder} was proud of {him} and baked a cake.",
        "{hero} was proud, and soon {he} taught a smaller child how to {skill}.",
        "{hero} learned that you must try again and again when something is hard.",
    ),
)

FEAR = (
    (
        "{hero} was afraid of {fear}.",
        "There was one thing that {hero} did not like: {he} was afraid of {fear}.",
        "Nobody knew it, but {hero} was very afraid of {fear}.",
        "When {hero} thought of {fear}, {he} always felt cold.",
    ),
    (
        "One night, {he} could not sleep because of {fear}.",
        "One day, {friend} needed help, but {hero} was too scared because of {fear}.",
        "{friend} wanted to go to {place}, but {hero} said no because of {fear}.",
        "{hero} told nobody, because {he} thought that {friend} would laugh.",
    ),
    (
        '"What is wrong?" asked {his} {elder}. "I am afraid of {fear}," whispered {hero}.',
        'At last, {hero} told {friend} about it. {friend} did not laugh. "I am afraid sometimes, too," {fhe} said.',
        '"Everyone is afraid of something," said {his} {elder}.',
        '"Are you afraid of {fear}?" asked {friend}. {hero} nodded.',
    ),
    (
        '{friend} gave {him} a {size} {colour} {thing}. "Hold it when you are scared," {fhe} said.',
        "{His} {elder} gave {him} a {colour} {thing} to keep close.",
        "So {hero} took {his} {colour} {thing} in one hand and {friend}'s hand in the other.",
        "They made a plan. {hero} would hold the {colour} {thing} and count to ten.",
    ),
    (
        "{hero} held the {colour} {thing} tight and counted to ten. Nothing bad happened.",
        "That evening, {hero} tried it. {His} heart beat fast, but {he} held the {thing} and did not run away.",
        "Step by step, {he} went on. The {thing} was warm in {his} hand.",
        "{He} closed {his} eyes, held the {colour} {thing} and took a deep breath. It was not so bad.",
    ),
    (
        "After that, {hero} was not afraid of {fear} any more.",
        "{hero} was still a little afraid of {fear}, but now {he} knew what to do.",
        "The next time, {hero} did not need the {colour} {thing} at all, so {he} gave it to a smaller child.",
        "{hero} learned that brave people are afraid too, but they go on.",
    ),
)

BIRTHDAY = (
    (
        "Soon it was {friend}'s birthday, and {hero} wanted to give {fhim} a gift.",
        "On {day}, {friend} turned {age}. {hero} was invited to the party.",
        '"Tomorrow is my birthday," said {friend}. "Will you come?" "Of course," said {hero}.',
        "{friend} was going to have a birthday party {at}.",
    ),
    (
        "{hero} had no money, so {he} had to think of something.",
        "{hero} had only {number} coins, and that was not much.",
        "{hero} asked everyone what {friend} would like, but nobody knew.",
        "{hero} looked in every shop, but nothing was right.",
    ),
    (
        "{He} remembered that {friend} loved the colour {colour}.",
        "Then {he} saw an old {thing} {hide}. {He} had an idea.",
        '"You could make something," said {his} {elder}.',
        "{He} knew that {friend} had always wanted a {thing}.",
    ),
    (
        "So {hero} took {colour} paint and made a beautiful {colour} {thing}.",
        "{He} worked all night and made a {size} {colour} {thing}.",
        "With the help of {his} {elder}, {he} built a {colour} {thing}.",
        "{He} found some {colour} cloth and made a {colour} {thing} out of it.",
    ),
    (
        "At the party, {friend} opened the box. Inside was the {colour} {thing}.",
        "{friend} opened all the other gifts first. The {colour} {thing} came last.",
        '"This is for you," said {hero}, and {he} gave {friend} the {colour} {thing}.',
        "{hero} was shy and put the {colour} {thing} {hide}, but {friend} found it.",
    ),
    (
        '"A {colour} {thing}! It is just what I wanted," said {friend}.',
        "{friend} loved the {colour} {thing} more than all the other gifts, because {hero} had made it.",
        "{friend} danced around the room with the {colour} {thing}. {hero} was happy.",
        "Then they ate cake and sang until the moon came up.",
    ),
)

GROWING = (
    (
        "One {season} day, {his} {elder} gave {hero} a {plant} seed.",
        "{hero} found a tiny {plant} seed {hide}.",
        "{hero} bought a {plant} seed from the {job} for one coin.",
        "{hero} and {friend} each got a {plant} seed at school.",
    ),
    (
        "{He} put the seed in a {colour} pot and gave it some water.",
        "{hero} planted it in a {colour} pot by the window.",
        "{He} dug a small hole, put the seed in it and put a {colour} stick next to it.",
        "{He} filled a {colour} pot with earth and put the seed in the middle.",
    ),
    (
        "Every day {he} looked, but nothing happened.",
        "A week went by. There was nothing in the {colour} pot but earth.",
        '"Nothing is growing," said {hero}. "You must wait," said {his} {elder}.',
        "{friend} laughed and said that the seed was asleep.",
    ),
    (
        "{hero} did not give up. {He} watered the {plant} every morning and kept it in the sun.",
        "It was very dry, so {hero} carried water from the river every day.",
        "One night it was cold, so {he} put {his} {colour2} scarf around the pot.",
        "{He} even sang a song to the {colour} pot every evening.",
    ),
    (
        "Then, one morning, there was a tiny green leaf in the {colour} pot.",
        "At last, the {plant} came out of the ground.",
        "On {day}, {hero} saw something green. The {plant} was growing!",
        "When {hero} came home, the {plant} was already as tall as a cup.",
    ),
    (
        "By the end of summer, the {plant} was taller than {hero}.",
        "{hero} gave the best {plant} to {friend} and kept the seeds for the next year.",
        "{hero} was proud of the {plant}, because {he} had waited so long for it.",
        "{hero} learned that good things need time and care.",
    ),
)

QUARREL = (
    (
        "{hero} and {friend} found a {colour} {thing} {hide}.",
        "There was only one {colour} {thing}, but both {hero} and {friend} wanted it.",
        "{hero} and {friend} were building a tower when they found a {colour} {thing}.",
        "One {daytime}, {hero} and {friend} saw the same {colour} {thing} at the market.",
    ),
    (
        '"I saw the {thing} first," said {hero}. "No, I did," said {friend}.',
        '"It is mine!" cried {friend}. "No, the {thing} is mine!" cried {hero}.',
        "{hero} pulled on one side, and {friend} pulled on the other.",
        "{hero} took the {thing} and did not want to give it to {friend}.",
    ),
    (
        "They were so angry that they did not speak to each other any more.",
        "{friend} went home, and {hero} stayed {at} with the {thing}.",
        "{friend} cried and ran away. Now {hero} had the {colour} {thing}, but no one to play with.",
        "In the end, both of them went home angry.",
    ),
    (
        "But it was no fun to play with the {thing} alone.",
        "That night, {hero} could not sleep. {He} missed {friend}.",
        '"What is a {colour} {thing} worth without a friend?" asked {his} {elder}.',
        "{hero} looked at the {colour} {thing}. It did not look so nice any more.",
    ),
    (
        'The next morning, {hero} went to {friend}. "I am sorry," {he} said. "You can have the {thing}."',
        "So {hero} took the {colour} {thing} to {friend}'s house and said sorry.",
        '{hero} wrote a note to {friend}: "Let us share the {colour} {thing}."',
        "{hero} knocked on {friend}'s door with the {colour} {thing} in {his} hand.",
    ),
    (
        '"I am sorry, too," said {friend}. Now they play with the {thing} together every day.',
        "{friend} smiled. They agreed that each of them would have the {thing} every other day.",
        "They laughed, and the {colour} {thing} belonged to both of them.",
        "They learned that a friend is worth more than a {thing}.",
    ),
)

NEWCOMER = (
    (
        "A new child came to live near {place}. Her name was {newgirl}.",
        "One {day}, a new girl named {newgirl} came to school.",
        "A family from far away moved into the {colour} house. They had a girl called {newgirl}.",
        "The house next door was empty for a long time. Then {newgirl} moved in with her {elder2}.",
    ),
    (
        "{newgirl} was shy and did not speak to anyone.",
        "Nobody played with {newgirl}, so she sat alone {hide}.",
        "{newgirl} did not know the way to {place}, and she got lost.",
        "Some children laughed at {newgirl} because she had a {colour} {thing}.",
    ),
    (
        "{hero} saw it and felt sorry for {newgirl}.",
        "{hero} remembered how it feels to be alone, so {he} went over to {newgirl}.",
        '"Why is nobody talking to her?" {hero} asked {friend}.',
        "{hero} wanted to say hello, but {he} was shy too.",
    ),
    (
        '"Hello, I am {hero}," {he} said. "I am {newgirl}," she answered softly.',
        '"Would you like to play with us?" {hero} asked {newgirl}. She nodded.',
        '"That is a nice {colour} {thing}," said {hero}. {newgirl} smiled for the first time.',
        "{hero} gave {newgirl} {a_food}, and she began to talk.",
    ),
    (
        "{newgirl} knew a game that nobody else knew, and she taught it to {hero} and {friend}.",
        "It turned out that {newgirl} could {skill} better than anyone else.",
        "{newgirl} told them about the place that she came from. It was near the sea.",
        "{hero}, {friend} and {newgirl} played {at} until it was dark.",
    ),
    (
        "From then on, {newgirl} was never alone again.",
        "Now there were three friends: {hero}, {friend} and {newgirl}.",
        '"I am glad that I came here," said {newgirl}.',
        "That evening, {hero} told {his} {elder} about {newgirl}, the new friend.",
    ),
)

BAKING = (
    (
        "{hero} and {his} {elder} wanted to bake {number} {foods}.",
        "{hero} wanted to surprise {his} {elder} with a cake.",
        "{friend} came to {hero}'s house, because they wanted to bake {foods}.",
    ),
    (
        "They put flour, eggs and milk into a {colour} bowl.",
        "{hero} took the {colour} bowl, and {friend} took the spoon.",
        "{hero} broke two eggs into the {colour} bowl. One fell on the floor.",
        "In the kitchen, there was flour everywhere, even on the {pet}.",
    ),
    (
        "But {hero} took salt instead of sugar.",
        "But {hero} forgot about the oven, because {he} was playing with a {colour2} {thing2}.",
        "Then the {pet} jumped on the table, and the {colour} bowl fell down.",
        "But there was no sugar left in the house.",
    ),
    (
        "So it all went wrong. {hero} was close to tears.",
        'It smelled bad. "Oh no!" cried {hero}.',
        '"What shall we do now?" asked {hero}.',
        "{hero} looked at the mess and did not know what to say.",
    ),
    (
        '"We will just begin again," said {his} {elder} with a smile.',
        "{friend} began to laugh, and then {hero} had to laugh as well. They began again.",
        "{hero} washed the {colour} bowl, and they tried it a second time.",
        "{friend} ran to the {job}, who gave them what they needed.",
    ),
    (
        "This time, everything went well, and the whole house smelled sweet.",
        "In the evening, they ate the {foods} while they were still warm.",
        "This time, {hero} was careful, and the {foods} came out just right.",
        "They gave some {foods} to the {job} to say thank you.",
    ),
)

RACE = (
    (
        "There was a big race {at}, and the prize was a {colour} {thing}.",
        "On {day}, all the children met {at} for a race. The winner would get a {colour} {thing}.",
        "Every {season}, there was a boat race {at}. {hero} wanted to win the {colour} {thing}.",
    ),
    (
        "{friend} was the fastest, and everyone thought that {fhe} would win.",
        "{hero} was small, and nobody thought that {he} could win.",
        "{hero} and {friend} both wanted to win.",
        '"I am going to win," said {friend}. "We will see," said {hero}.',
    ),
    (
        "One, two, three, go! They all ran off, and {friend} was in front.",
        "At first, {hero} was last, but {he} did not stop.",
        "{hero} ran as fast as {he} could. Soon only {friend} was in front of {him}.",
        "{hero} was quick at the start, and soon {he} was in front of {friend}.",
    ),
    (
        "Then {friend} fell and hurt {fhis} knee. {hero} saw it and stopped.",
        "Then {friend} slipped in the mud. {hero} could win now, but {he} turned back.",
        "Just before the end, {friend} tripped over a root. {hero} stopped to help {fhim}.",
    ),
    (
        "{He} helped {friend} up, and they walked to the end together. They were the last ones.",
        '"Come on," said {hero}, and {he} took {friend} by the arm.',
        "So someone else won the race, but {hero} did not mind.",
    ),
    (
        "But everyone clapped, and the judge gave {hero} the {colour} {thing}, because {he} had been so kind.",
        '"You gave up the {colour} {thing} for me," said {friend}. "You are more important," said {hero}.',
        "{friend} never forgot it. The next day, {fhe} made a {colour} {thing} for {hero}.",
        "{hero} did not win the {colour} {thing}, but {he} won a friend.",
    ),
)

MARKET = (
    (
        "{hero} had {number} coins and wanted to buy a {colour} {thing} at the market.",
        "{His} {elder} gave {hero} {number} coins and asked {him} to buy {foods}.",
        "{hero} had saved {number} coins for a {colour} {thing}.",
    ),
    (
        "On the way, {he} met {friend}, who was crying.",
        "At the market, there was a long row of tables with many things on them.",
        "The {job} at the market had a {colour} {thing} and a {colour2} {thing2}.",
        "{hero} walked past the {job}, the bread and the fish.",
    ),
    (
        '"How much is the {colour} {thing}?" asked {hero}. "It costs {number2} coins," said the {job}.',
        "The {colour} {thing} cost {number2} coins. The {colour2} {thing2} cost only {number3}.",
        '"I will sell you this {colour} {thing} for {number2} coins," said the {job}.',
    ),
    (
        "{hero} counted {his} coins, and then {he} counted them again.",
        "{hero} thought about it for a long time.",
        '"Please wait," said {hero}, and {he} looked into {his} pocket.',
    ),
    (
        "In the end, {he} bought the {colour2} {thing2} for {friend}, because {friend} was so sad.",
        "Then {he} helped the {job} to carry the boxes, and the {job} gave {him} the {colour} {thing} as a gift.",
        "{He} paid and took the {colour} {thing} under {his} arm.",
    ),
    (
        "{hero} went home and showed the {colour} {thing} to {his} {elder}.",
        "On the way home, {hero} sang a song, because {he} was so happy.",
        "That evening, {hero} told {his} {elder} about the {colour} {thing} and the {job}.",
    ),
)

SURPRISE = (
    (
        "{hero} found an old {box} {hide}. It was locked.",
        "In the evening, {hero} found a map {hide}. There was a {colour} cross on it.",
        "One {daytime}, a {bird} dropped a small {colour} key in front of {hero}.",
        "{friend} told {hero} that there was a secret {hide}.",
    ),
    (
        '{He} showed it to {friend}. "What can it be?" asked {friend}.',
        "{hero} was {trait}, so {he} wanted to know more. {He} went to fetch {friend}.",
        '"We must find out what it means," said {hero} to {friend}.',
    ),
    (
        "They walked past {place}, over a small bridge and up a hill.",
        "First they went left, then they went right, and then they stood in front of a {colour2} door.",
        "They dug a deep hole with a {colour2} spade.",
        "They asked the {job}, but the {job} only smiled and pointed to the {colour2} door.",
    ),
    (
        "It was getting dark, but {hero} had a {colour} lantern.",
        '"I am tired," said {friend}. "Just one more step," said {hero}.',
        "{friend} heard a noise and held on to {hero}'s arm.",
        "Suddenly they heard someone laugh.",
    ),
    (
        "Inside, there was a {size} {colour} {thing} and a letter from {hero}'s {elder}.",
        "And there it was: a {colour} {thing}, wrapped in paper.",
        "Then the light went on. All their friends were there, and on the table stood a {colour} {thing}.",
    ),
    (
        '"For {hero} and {friend}, who never give up," the letter said.',
        "The {colour} {thing} was for both of them. They took it home and told everyone about it.",
        "{hero} still has the {colour} {thing} today, and {he} still thinks of that evening.",
        "They laughed and ran home, and {hero} carried the {colour} {thing}.",
    ),
)

STORM = (
    (
        "One night, a big storm came to {place}. It blew down the house of {friend}.",
        "It rained for {number} days, and the water came up to the door of {friend}'s house.",
        "A tree fell on {friend}'s {colour} roof in the night.",
    ),
    (
        "{friend} had no place to sleep and was very sad.",
        '"Where shall I live now?" asked {friend}.',
        "{friend} stood in the rain with {fhis} {colour} {thing} and did not know what to do.",
    ),
    (
        '"You can stay with me," said {hero}. "My house is small, but there is room for two."',
        "{hero} opened the door and let {friend} in.",
        "{hero} gave {friend} a warm blanket and a cup of {drink}.",
    ),
    (
        "The next day, {hero} asked everyone to help. The {animal2} brought wood, and the {bird} brought straw.",
        "When the storm was over, {hero} and {friend} began to build a new house.",
        "Many friends came. Some carried stones, and some carried wood.",
    ),
    (
        "They worked for {number} days, and then the new house was ready. It had a {colour2} door.",
        "It was hard work, but they sang while they worked. At the end, they painted the door {colour2}.",
        "In the end, there was a new house with a {colour2} roof.",
    ),
    (
        '"This is the best house in the world," said {friend}, "because my friends built it."',
        "{friend} put the {colour} {thing} over the {colour2} door and asked everyone in.",
        "From that day on, nobody near {place} was afraid of storms.",
        "{hero} and {friend} sat in front of the house and looked at the stars.",
    ),
)

SCHEMAS = {
    "lost": LOST,
    "broken": BROKEN,
    "sharing": SHARING,
    "weather": WEATHER,
    "rescue": RESCUE,
    "skill": SKILL,
    "fear": FEAR,
    "birthday": BIRTHDAY,
    "growing": GROWING,
    "quarrel": QUARREL,
    "newcomer": NEWCOMER,
    "baking": BAKING,
    "race": RACE,
    "market": MARKET,
    "surprise": SURPRISE,
    "storm": STORM,
}
ANIMAL_SCHEMAS = ("sharing", "fear", "quarrel", "race", "storm", "lost", "skill")

BRIDGES = (
    "The next day, {hero} and {friend} met again {at}.",
    "Some weeks later, something else happened.",
    "But that is not the end of the story of {hero}.",
    "On the following {day}, {hero} went to {place} once more.",
    "{Season} came, and {hero} was a little older.",
    "A month later, {friend} came to see {hero}.",
)

ENDINGS = (
    "That night, {hero} slept very well.",
    "And when {hero} went to bed, {he} was smiling.",
    "The end.",
    "It was a good day.",
    "{His} {elder} gave {him} a hug and said good night.",
    "{hero} and {friend} laughed about it for a long time.",
    "They all lived happily ever after.",
    "And if you walk past {place}, you may still hear {hero} and {friend} laugh.",
)
