"""The little facts that the model is asked about. Data only."""

from training.words import listed


def table(pairs: str) -> dict[str, str]:
    """``dog=woof cat=meow`` as a dictionary."""
    return dict(pair.split("=") for pair in pairs.split())


SOUNDS = table(
    "dog=woof cat=meow cow=moo sheep=baa duck=quack pig=oink horse=neigh lion=roar mouse=squeak owl=hoot "
    "frog=croak bee=buzz snake=hiss crow=caw wolf=howl hen=cluck"
)
YOUNG = table(
    "dog=puppy cat=kitten cow=calf sheep=lamb duck=duckling pig=piglet horse=foal lion=cub hen=chick "
    "frog=tadpole goat=kid bear=cub deer=fawn goose=gosling owl=owlet"
)
LEGS = table(
    "dog=four cat=four cow=four horse=four duck=two hen=two owl=two crow=two spider=eight bee=six ant=six "
    "snake=zero fish=zero goat=four mouse=four lion=four"
)
HOMES = {
    "bird": "a nest", "bee": "a hive", "fish": "water", "rabbit": "a burrow", "spider": "a web", "lion": "the wild",
    "dog": "a kennel", "horse": "a stable", "bear": "a cave", "cow": "a barn", "duck": "a pond", "owl": "a tree",
}  # fmt: skip
COLOURS_OF = {
    "the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "coal": "black", "blood": "red",
    "a carrot": "orange", "a lemon": "yellow", "milk": "white", "a leaf": "green", "a strawberry": "red",
    "the sun": "yellow", "chocolate": "brown", "an elephant": "grey", "a tomato": "red", "a frog": "green",
}  # fmt: skip
OPPOSITES = table(
    "hot=cold big=small up=down fast=slow day=night happy=sad old=young open=closed wet=dry full=empty "
    "light=dark hard=soft left=right loud=quiet high=low rich=poor good=bad long=short black=white near=far "
    "early=late strong=weak thick=thin true=false clean=dirty"
)
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
CAPITALS = table(
    "France=Paris Italy=Rome Germany=Berlin Spain=Madrid England=London Portugal=Lisbon Austria=Vienna "
    "Greece=Athens Norway=Oslo Ireland=Dublin Egypt=Cairo Japan=Tokyo Sweden=Stockholm Poland=Warsaw Hungary=Budapest "
    "Finland=Helsinki Denmark=Copenhagen Belgium=Brussels Russia=Moscow China=Beijing"
)
KINDS = {
    "fruits": listed("apple pear plum banana cherry orange peach lemon grape"),
    "animals": listed("dog cat horse cow sheep lion bear fox duck"),
    "colours": listed("red blue green yellow orange black white pink brown"),
    "vegetables": listed("carrot potato onion bean pea cabbage tomato pepper"),
    "birds": listed("owl crow duck hen robin sparrow goose eagle"),
    "tools": listed("hammer saw nail spade rake knife brush"),
    "clothes": listed("hat coat scarf shirt sock shoe glove"),
}
PLURALS = table(
    "cat=cats dog=dogs box=boxes mouse=mice child=children man=men woman=women foot=feet tooth=teeth "
    "sheep=sheep leaf=leaves baby=babies bus=buses goose=geese city=cities book=books star=stars"
)
PASTS = table(
    "go=went see=saw eat=ate run=ran sing=sang give=gave take=took make=made walk=walked play=played find=found "
    "think=thought write=wrote come=came swim=swam fly=flew sleep=slept say=said"
)
JOBS_DO = {
    "baker": "bakes bread", "farmer": "grows food", "teacher": "teaches children", "doctor": "helps sick people",
    "painter": "paints pictures", "sailor": "sails on ships", "cook": "makes meals", "singer": "sings songs",
    "writer": "writes books", "pilot": "flies planes", "driver": "drives a car", "builder": "builds houses",
}  # fmt: skip
SPELLED = listed(
    "cat dog sun tree book fish house apple milk bread river stone cloud green seven horse water table light moon"
)
