"""Words that tell where a name begins and ends; all of them folded."""

from __future__ import annotations

# They may stand directly before a name without being a part of it: what begins sentences, …
FUNCTION = frozenset(
    """
    a about according after all although among an and are as at because been before both but by
    can could did do does during each either even every fact for from had has have he her here
    his how however i if imagine in into is it its like many may most near neither no not now of
    on one only or other our over say says she should since so some still such suppose than that
    the their then there these they this those though through thus to under unlike until was we
    were what when where whether which while who whom whose why will with within without would
    yes yet you your
    """.split()
)
# … and titles.
TITLES = frozenset(
    """
    actor actress archbishop baron baroness bishop captain cardinal chancellor colonel count
    countess dame doctor dr duchess duke emperor empress general governor judge justice king lady
    lord madam major mayor minister miss mr mrs ms pope president prince princess prof
    professor queen rev reverend saint senator sergeant singer sir writer
    """.split()
)
BEFORE = FUNCTION | TITLES
ARTICLES = ("The", "A", "An")  # as they begin names
DETERMINERS = frozenset(
    "a an each every her his its many no our some that the their these this those your".split()
)
# Verbs of common questions. Beside a name of one word in text without case, only they and the
# words above are known to be none of it: "guinea pig", "guinea bissau".
VERBS = frozenset(
    """
    based became become begin belong belongs born bought buried come comes created developed die
    died discovered educated employed established find found founded grew headquartered invented
    lead led lie lies live lived lives located made make makes married met name originate
    originated originates own owned owns play played plays produced published released situated
    sold speak speaks spoke start started studied use used visited work worked works write
    written wrote
    """.split()
)
BESIDE = BEFORE | VERBS
# Capitalised before a name of several words, these make a longer one: "Papua New Guinea",
# "East Los Angeles", "John Paul Jones". Any other word before it ("… County Hermann Hesse
# worked in") is of what stands before.
LONGER = frozenset(
    """
    big cape central democratic east eastern el equatorial federal fort free ft grand great
    greater imperial inner isla isle la lake las le les lesser little los lower mount mt national
    new north northeast northeastern northern northwest northwestern old outer papua people's
    point port republic rio royal saint saints san sankt sant santa santo sao south southeast
    southeastern southern southwest southwestern st ste super united upper west western young
    """.split()
)
IN_NAMES = frozenset(  # first names that go before others, and particles
    """
    ana anna anne carl charles david francis franz george hans henry james jan jean joao johann
    johannes john jose joseph juan karl lee louis luis marco maria marie mary michael paul peter
    robert sarah thomas william
    da de del di du van von
    """.split()
)
# Begin last names of several words, which are parts of longer ones ("Theo van Gogh").
PARTICLES = frozenset(
    """
    abu al ap bin da dal de del della den der di do dos du el ibn la le mac mc st ten ter van vom
    von y zu
    """.split()
)
NUMBERS = frozenset("ii iii iv v vi vii viii".split())
SUFFIXES = NUMBERS | frozenset("jr sr junior senior".split())
ABBREVIATED = frozenset("dr ft jr mr mrs ms mt prof rev sr st ste".split())
# Titles before a first name: "Pope Francis" has no last name.
FIRST_NAME_FOLLOWS = frozenset(
    "duchess duke emperor empress king pope prince princess queen saint st tsar".split()
)
# Common nouns in names of places, companies and works, and in few names of people.
KINDS = frozenset(
    """
    academy accord act adventure affair agency agreement air airline airport airways album alliance
    alps archipelago area arena army assembly association auto award band bank basin basket battle
    bay beach blues board book bowl bridge broadcasting brothers building bureau cabinet campaign
    canal capital car castle cathedral center centre challenge championship channel chart cheese
    chronicle church circuit city classic club coast college commander commission committee
    commonwealth company computer conference congress constitution contest convention cooperation
    corp corporation council county coup court creek cricket crisis cup dam day department derby
    desert diary disease display district division drive dynasty edition election electronics
    embassy empire engine enterprise entertainment era exchange expedition explorer express family
    federation festival fiction fighter film finals fire fleet food football force foreign forest
    foundation front fund game gate gazette general glacier government group guard guide gulf hall
    heart hell herald heritage highway hill history home hospital hotel house idol incorporated
    industry institute institution insurance intelligence international internet investment island
    isle journal kingdom laboratory lagoon lake land language law league legend library license life
    light limited line live love magazine mall man manor marathon march market massacre medal media
    memorial method mill mine ministry mission monastery monument motor mountain movement museum
    music navy network news newspaper night observatory ocean office oil olympic opera operation
    orchestra order organisation organization palace paralympic parish park parliament partner party
    pass path peak peninsula people petroleum phone picture plain plateau plaza point police port
    post prefecture press pride prize problem process productions program programme project protein
    province quartet race radio railroad railway range ranger record reef regiment region reich
    republic reserve resort restaurant review revolution ridge rights ring river road rock route
    sanctuary sauce school science sea season secret senate sequence series service show sky society
    software song sound space speedway sport square stadium standard star state station story strait
    street strip studio style summit symphony syndrome system tale taxi team technology telegraph
    television temple territory test theater theatre theorem theory thing throne time tour
    tournament tower town township trade trail treaty trial trilogy trio trophy truck tube tunnel
    union university valley version village volcano wall war watch water wave way web weekly window
    wing woman women world year zone zoo
    """.split()
)

# Nouns of what befalls somebody: "Murder of Caesar" is also "Caesar's murder". Not "university":
# that of Miami is not Miami University.
EVENTS = frozenset(
    """
    abdication abduction arrest assassination beheading burial capture coronation death deposition
    disappearance execution exile fall funeral impeachment imprisonment inauguration kidnapping
    killing lynching marriage murder ordination poisoning resignation shooting siege stabbing
    suicide surrender torture trial wedding
    """.split()
)
# First names and their short forms, where both are mostly meant so. Not those that are more often
# another name's, or a name of their own (Jon, Jan, Chris, Jack, Kim), nor both a man's and a
# woman's (Pat).
_SHORT = """
    abigail abby; abraham abe; alexander alex; alfred alfie; amanda mandy; andrew andy;
    anthony tony; arthur artie; barbara barb; benjamin ben benny; bernard bernie; bradley brad;
    catherine cathy; charles charlie chuck; clifford cliff; clinton clint; curtis curt;
    cynthia cindy; daniel dan danny; david dave; deborah deb debbie; donald don donnie;
    dorothy dottie; douglas doug; edward ed eddie ted; elizabeth liz lizzie beth; eugene gene;
    frances fran; frederick fred freddie; gabriel gabe; geoffrey geoff; gerald gerry; gregory greg;
    harold hal; herbert herb; jacob jake; jacqueline jackie; james jim jimmy; jeffrey jeff;
    jennifer jen jenny; jessica jess; jonathan jonny; joseph joe joey; josephine josie; joshua josh;
    judith judy; katherine kate kathy katie; kenneth ken kenny; laurence larry; lawrence larry;
    leonard len lenny; margaret maggie meg peggy; matthew matt; michael mick mickey mike;
    mitchell mitch; nathan nate; nathaniel nate; nicholas nick nicky; norman norm; pamela pam;
    patricia patty trish; patrick paddy; penelope penny; peter pete; philip phil; phillip phil;
    raymond ray; rebecca becky; richard dick rich richie rick ricky;
    robert bob bobby rob robbie; rodney rod; ronald ron ronnie; rosemary rosie; russell russ;
    samuel sam sammy; stanley stan; stephen steve; steven steve; susan sue susie; suzanne sue;
    theodore ted teddy; thomas tom tommy; timothy tim; tobias toby; valerie val;
    victoria tori vicky; vincent vince vinny; virginia ginny; walter walt;
    william bill billy will willie; zachary zach zack
"""
OTHER_FIRST_NAMES: dict[str, tuple[str, ...]] = {}
"""From a first name to its short forms, and from a short form to the names it is of."""
for _long, *_short in map(str.split, _SHORT.split(";")):
    for _one in _short:
        OTHER_FIRST_NAMES[_long] = (*OTHER_FIRST_NAMES.get(_long, ()), _one)
        OTHER_FIRST_NAMES[_one] = (*OTHER_FIRST_NAMES.get(_one, ()), _long)


def is_kind(word: str) -> bool:
    """Whether a folded word is a common noun that ends names, or its plural."""
    one = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
    return word in KINDS or one in KINDS
