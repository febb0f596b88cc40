"""Pages that tell one thing in different words: what contradicts, what agrees, and what is about something else."""

import pytest

from storage.contract.ask import Source
from trainer.ask.answer.contradictions import find_contradictions
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import Sentence, ranked
from trainer.ask.retrieval import Passage, Retrieval


def found(question: str, *pages: tuple[str, str]) -> tuple[Question, list[Sentence]]:
    """The sentences of pages, each with a title and a text."""
    sources = tuple(Source(id=str(n), url=f"https://{n}.example", title=title) for n, (title, _) in enumerate(pages))
    passages = tuple(Passage(str(n), text, 1.0, 0) for n, (_, text) in enumerate(pages))
    asked = Question(question)
    return asked, ranked(asked, Retrieval(sources, passages))


def told(question: str, *pages: tuple[str, str]) -> set[str]:
    """The values that are told to contradict each other."""
    contradictions = find_contradictions(*found(question, *pages))
    return {report.fact for each in contradictions for report in each.reports}


DIFFER = [
    (
        "When was Olaf Brandt born?",
        "Olaf Brandt",
        "Olaf Brandt was born on 4 May 1931 in Kiel.",
        "A life at sea",
        "Olaf Brandt first saw the light of day on 6 May 1931, the son of a pilot.",
        {"4 May 1931", "6 May 1931"},
    ),
    (
        "Where was Rosa Telling born?",
        "Rosa Telling",
        "Rosa Telling was born in Ulm and studied law.",
        "Rosa Telling, 1901–1980",
        "A native of Passau, Rosa Telling became a judge.",
        {"Ulm", "Passau"},
    ),
    (
        "In what year did Piet Horn die?",
        "Piet Horn",
        "Piet Horn died in 1978 after a short illness.",
        "Piet Horn – a portrait",
        "The sculptor Piet Horn passed away in 1976.",
        {"1978", "1976"},
    ),
    (
        "How much steel does the Ruhn works produce each year?",
        "Ruhn works",
        "The Ruhn works produce 1.2 million tonnes of steel a year.",
        "Steel in figures",
        "Ruhn works: annual output 1.5 million tonnes, mostly sheet.",
        {"1.2 million tonnes", "1.5 million tonnes"},
    ),
    (
        "How many bottles does the Salter winery sell per year?",
        "Salter winery",
        "We sell 90,000 bottles a year from our yard.",
        "Wineries of the region",
        "Salter winery has a yearly turnover of 120,000 bottles, says the guild.",
        {"90,000 bottles", "120,000 bottles"},
    ),
    (
        "How many people work at the Hartin shipyard?",
        "Hartin shipyard",
        "The Hartin shipyard has 850 employees.",
        "Jobs at risk",
        "Some 910 men and women earn their living at the Hartin shipyard.",
        {"850 employees", "910 men"},
    ),
    (
        "What is the population of Ambersee?",
        "Ambersee",
        "Ambersee is a town with a population of 14,200.",
        "Living in Ambersee",
        "Ambersee is home to 15,900 people.",
        {"14,200", "15,900 people"},
    ),
    (
        "How many seats does the Lyra theatre have?",
        "Lyra theatre",
        "The Lyra theatre has 640 seats on three levels.",
        "Theatre guide: Lyra",
        "The house offers room for 700 spectators.",
        {"640 seats", "700 spectators"},
    ),
    (
        "When did the Marl bridge open?",
        "Marl bridge",
        "The Marl bridge was opened to traffic on 3 June 1964.",
        "Bridges of Marl",
        "The Marl bridge was inaugurated on 10 June 1964 by the minister.",
        {"3 June 1964", "10 June 1964"},
    ),
    (
        "How long is the Tesk tunnel?",
        "Tesk tunnel",
        "The Tesk tunnel has a length of 4.2 kilometres.",
        "Tunnels",
        "| Tunnel | Length |\n|---|---|\n| Tesk tunnel | 4,900 m |\n| Ohm tunnel | 2,100 m |",
        {"4.2 kilometres", "4,900 m"},
    ),
    (
        "How deep is Lake Wend?",
        "Lake Wend",
        "At its deepest point Lake Wend measures 61 metres.",
        "Lakes of the north",
        "Lake Wend: maximum depth 74 m, area 12 km².",
        {"61 metres", "74 m"},
    ),
    (
        "How high is the Kroll tower?",
        "Kroll tower",
        "The Kroll tower rises 142 metres above the square.",
        "Kroll tower (skyscraper)",
        "Height: 151 m. Floors: 38.",
        {"142 metres", "151 m"},
    ),
    (
        "Who wrote the novel Salt Roads?",
        "Salt Roads",
        "Salt Roads is a novel by Nadia Perlman about a village.",
        "Books of the month",
        "Salt Roads, penned by Ivo Kessler, is out in paperback.",
        {"Nadia Perlman", "Ivo Kessler"},
    ),
    (
        "Who is the mayor of Tolsted?",
        "Town of Tolsted",
        "Mayor of Tolsted is Hanne Winther.",
        "News from Tolsted",
        "Tolsted's mayor Lars Bruun opened the new pool.",
        {"Hanne Winther", "Lars Bruun"},
    ),
    (
        "Who founded Orbis Shoes?",
        "Orbis Shoes",
        "Orbis Shoes was founded by Emil Sander in a garage.",
        "Shoemakers",
        "Orbis Shoes was set up by Clara Voss, a teacher.",
        {"Emil Sander", "Clara Voss"},
    ),
    (
        "Who designed the Elbe library?",
        "Elbe library",
        "The plans of the Elbe library were drawn up by Sara Munk.",
        "Architecture weekly",
        "Architect of the Elbe library is Jonas Hartwig.",
        {"Sara Munk", "Jonas Hartwig"},
    ),
    (
        "What does a day pass for the Nord ski area cost?",
        "Nord ski area: prices",
        "A day pass is 54 euros for adults.",
        "Skiing this winter",
        "A day in the Nord ski area will set you back 61 euros.",
        {"54 euros", "61 euros"},
    ),
    (
        "How much did the new Brinn school cost?",
        "Brinn school",
        "The construction of the Brinn school cost 18 million euros.",
        "Brinn gets a school",
        "The price tag of the new Brinn school: 23 million euros.",
        {"18 million euros", "23 million euros"},
    ),
    (
        "When will the film Low Tide be released?",
        "Low Tide",
        "Low Tide is released on 9 October 2026.",
        "Coming soon",
        "The film Low Tide hits cinemas on 16 October 2026.",
        {"9 October 2026", "16 October 2026"},
    ),
    (
        "How many people visited the Garden Fair?",
        "Garden Fair",
        "The Garden Fair drew 310,000 visitors in all.",
        "After the fair",
        "Some 280,000 people flocked to the Garden Fair.",
        {"310,000 visitors", "280,000 people"},
    ),
    (
        "How many people were hurt in the Dorn tram accident?",
        "Dorn tram accident",
        "In the tram accident in Dorn 17 people were injured.",
        "Tram derails in Dorn",
        "The Dorn tram accident left 23 people wounded, police said.",
        {"17 people", "23 people"},
    ),
    (
        "How many runners took part in the Vale marathon?",
        "Vale marathon",
        "5,200 runners took part in the Vale marathon.",
        "City on its feet",
        "At the Vale marathon 6,100 runners lined up.",
        {"5,200 runners", "6,100 runners"},
    ),
    (
        "How fast is the Falke train?",
        "Falke train",
        "The Falke train has a top speed of 250 km/h.",
        "On rails",
        "The Falke train races along at up to 280 km/h.",
        {"250 km/h", "280 km/h"},
    ),
    (
        "How heavy is the Great Bell of Rode?",
        "Great Bell of Rode",
        "The Great Bell of Rode weighs 8,300 kg.",
        "Bells",
        "With a mass of 9.1 tonnes the Great Bell of Rode is the largest of the county.",
        {"8,300 kg", "9.1 tonnes"},
    ),
    (
        "What share of voters took part in the Lund election?",
        "Lund election",
        "The turnout of the Lund election was 64 percent.",
        "Lund votes",
        "Just 58 percent of voters took part in the Lund election.",
        {"64 percent", "58 percent"},
    ),
    (
        "Who won the Alba cycling race?",
        "Alba cycling race",
        "Winner of the Alba cycling race is Marco Silvestri.",
        "Sport",
        "Victory in the Alba cycling race went to Jan Koster.",
        {"Marco Silvestri", "Jan Koster"},
    ),
    (
        "Who owns the Regis hotel?",
        "Regis hotel",
        "The Regis hotel belongs to the Lindner family.",
        "Hotels change hands",
        "Owner of the Regis hotel is Castor Holdings.",
        {"Lindner", "Castor Holdings"},
    ),
    (
        "How much rain falls in Ost per year?",
        "Ost",
        "Ost has an annual rainfall of 820 mm.",
        "Climate of Ost",
        "In Ost about 1,050 mm of rain fall every year.",
        {"820 mm", "1,050 mm"},
    ),
    (
        "How old is the oak of Hem?",
        "The oak of Hem",
        "The oak of Hem is 640 years old.",
        "Old trees",
        "The oak of Hem has an age of 800 years.",
        {"640 years", "800 years"},
    ),
    (
        "What is the top prize of the Cava lottery?",
        "Cava lottery",
        "The top prize of the Cava lottery is 2 million euros.",
        "Lucky numbers",
        "Who wins the Cava lottery gets 3 million euros.",
        {"2 million euros", "3 million euros"},
    ),
    (
        "How many moons does the planet Orro have?",
        "Orro (planet)",
        "Orro has 14 moons and a ring.",
        "Planets",
        "The planet Orro is circled by 17 moons.",
        {"14 moons", "17 moons"},
    ),
    (
        "Where is the headquarters of Lumen Oil?",
        "Lumen Oil",
        "Lumen Oil has its headquarters in Bergen.",
        "Oil companies",
        "Lumen Oil is based in Stavanger.",
        {"Bergen", "Stavanger"},
    ),
    (
        "When was the Falk observatory built?",
        "Falk observatory",
        "The Falk observatory was built in 1887.",
        "Sights",
        "The Falk observatory was erected in 1891 on a hill.",
        {"1887", "1891"},
    ),
    (
        "How long does the ferry to Ran take?",
        "Ferry to Ran",
        "The crossing with the ferry to Ran takes 50 minutes.",
        "How to get to Ran",
        "Plan 75 minutes for the ferry to Ran.",
        {"50 minutes", "75 minutes"},
    ),
    (
        "What is the capacity of the Senn reservoir?",
        "Senn reservoir",
        "The Senn reservoir has a capacity of 40 million cubic metres.".replace("cubic metres", "m³"),
        "Water supply",
        "The Senn reservoir holds 52 million m³ of water.",
        {"40 million m³", "52 million m³"},
    ),
    (
        "Release date of Quill 5?",
        "Quill 5",
        "Release date of Quill 5: 3 March 2026.",
        "Quill 5 is here",
        "Quill 5 came out on 10 March 2026.",
        {"3 March 2026", "10 March 2026"},
    ),
    (
        "Who conducts the Aarn orchestra?",
        "Aarn orchestra",
        "Conductor: Paula Stern. Musicians: 64.",
        "Concerts",
        "The Aarn orchestra plays under the baton of Victor Lang.",
        {"Paula Stern", "Victor Lang"},
    ),
    (
        "How many pupils attend Linden school?",
        "Linden school",
        "Linden school has 412 pupils.",
        "Schools",
        "At Linden school 455 children are taught by 30 teachers.",
        {"412 pupils", "455 children"},
    ),
]

AGREE_OR_OTHER = [
    (
        "How long is the Tesk tunnel?",
        "Tesk tunnel",
        "The Tesk tunnel has a length of 4.2 kilometres.",
        "Tunnels",
        "| Tunnel | Length | Opened |\n|---|---|---|\n| Tesk tunnel | 4,200 m | 1999 |",
    ),
    (
        "How many people work at the Hartin shipyard?",
        "Hartin shipyard",
        "The Hartin shipyard has 853 employees.",
        "Jobs at risk",
        "Some 850 men and women earn their living at the Hartin shipyard.",
    ),
    (
        "How many people work at the Hartin shipyard?",
        "Hartin shipyard",
        "The Hartin shipyard has 850 employees.",
        "Jobs at risk",
        "More than 800 people work at the Hartin shipyard.",
    ),
    (
        "When did the Marl bridge open?",
        "Marl bridge",
        "The Marl bridge was opened on 3 June 1964.",
        "Bridges of Marl",
        "Since June 1964 the Marl bridge has been open to traffic.",
    ),
    (
        "When did the Marl bridge open?",
        "Marl bridge",
        "The Marl bridge was opened on 3 June 1964.",
        "Bridges of Marl",
        "The Marl bridge was repaired in 1998.",
    ),
    (
        "How many seats does the Lyra theatre have?",
        "Lyra theatre",
        "The Lyra theatre has 640 seats.",
        "Theatre guide: Lyra",
        "The Lyra theatre has 12 boxes and gives 200 performances a year.",
    ),
    (
        "How high is the Kroll tower?",
        "Kroll tower",
        "The Kroll tower is 142 metres high.",
        "Kroll tower",
        "The Kroll tower stands on piles that are 40 metres long.",
    ),
    (
        "What does a day pass for the Nord ski area cost?",
        "Nord ski area",
        "A day pass is 54 euros for adults.",
        "Skiing this winter",
        "In the Nord ski area parking costs 6 euros.",
    ),
    (
        "How many people visited the Garden Fair?",
        "Garden Fair",
        "In 2025 the Garden Fair had 310,000 visitors.",
        "After the fair",
        "In 2019 the Garden Fair had 250,000 visitors.",
    ),
    (
        "Who is the mayor of Tolsted?",
        "Town of Tolsted",
        "Mayor of Tolsted is Hanne Winther.",
        "News from Tolsted",
        "Mayor Winther and the architect Lars Bruun opened Tolsted's new pool.",
    ),
    (
        "Who founded Orbis Shoes?",
        "Orbis Shoes",
        "Orbis Shoes was founded by Emil Sander in a garage.",
        "Shoemakers",
        "The boss of Orbis Shoes is Clara Voss.",
    ),
    (
        "Where was Rosa Telling born?",
        "Rosa Telling",
        "Rosa Telling was born in Ulm.",
        "Rosa Telling",
        "Rosa Telling studied law in Passau.",
    ),
    (
        "How deep is Lake Wend?",
        "Lake Wend",
        "Lake Wend is 61 metres deep.",
        "Lake Wend",
        "Lake Wend lies 430 metres above the sea.",
    ),
    (
        "How heavy is the Great Bell of Rode?",
        "Great Bell of Rode",
        "The Great Bell of Rode weighs 8,300 kg.",
        "Bells",
        "The clapper of the Great Bell of Rode weighs 210 kg.",
    ),
    (
        "When will the film Low Tide be released?",
        "Low Tide",
        "Low Tide is released on 9 October 2026.",
        "Film festival",
        "The film Low Tide was shot in May 2025.",
    ),
    (
        "How many moons does the planet Orro have?",
        "Orro (planet)",
        "Orro has 14 moons.",
        "Planets",
        "The planet Umbo has 17 moons.",
    ),
    (
        "What is the population of Ambersee?",
        "Ambersee",
        "Ambersee has a population of 14,200.",
        "County of Ambersee",
        "Fewer than 15,000 people live in Ambersee.",
    ),
    (
        "How long does the ferry to Ran take?",
        "Ferry to Ran",
        "The ferry to Ran takes 50 minutes.",
        "How to get to Ran",
        "The ferry to Ran leaves every 90 minutes.",
    ),
    (
        "Who won the Alba cycling race?",
        "Alba cycling race",
        "Winner of the Alba cycling race is Marco Silvestri.",
        "Sport",
        "Jan Koster came second in the Alba cycling race.",
    ),
    (
        "What's the wingspan of the grey hawker?",
        "Grey hawker",
        "Its wings span 62 to 74 millimetres.",
        "Grey hawker",
        "Wingspan: 70 mm.",
    ),
]


@pytest.mark.parametrize(("question", "title", "text", "other_title", "other_text", "facts"), DIFFER)
def test_other_values_in_other_words_contradict(
    question: str, title: str, text: str, other_title: str, other_text: str, facts: set[str]
) -> None:
    assert told(question, (title, text), (other_title, other_text)) == facts


@pytest.mark.parametrize(("question", "title", "text", "other_title", "other_text"), AGREE_OR_OTHER)
def test_what_agrees_or_is_about_something_else_does_not(
    question: str, title: str, text: str, other_title: str, other_text: str
) -> None:
    assert told(question, (title, text), (other_title, other_text)) == set()


ANSWERED = [
    ("How long is the Aldern cable car?", "Aldern cable car", "The Aldern cable car covers 2.1 km."),
    ("What does the Orta car insurance cost?", "Orta car insurance", "From 210 euros a year."),
    ("Who runs the Blue Hen pub?", "The Blue Hen", "The pub is run by Gerta Holm."),
    (
        "How many bedrooms are there in the Fern lodge?",
        "Fern lodge",
        "| Fern lodge | |\n|---|---|\n| Bedrooms | 6 |\n| Baths | 2 |",
    ),
    ("Can you tell me when the Elm pool closes?", "Elm pool", "The Elm pool is open from 7 a.m. and closes at 9 p.m."),
    ("What's the max payload of the Mule drone?", "Mule drone", "Maximum payload: 12 kg"),
    ("Which language is Torq written in?", "Torq", "Torq is written in Rust."),
    ("Why was the Senn bridge closed?", "Senn bridge", "The Senn bridge was closed because of rust in its cables."),
    ("Where do the buses to Ran leave?", "Buses to Ran", "Buses to Ran leave from the Old Market."),
    ("How many km is the Hem trail?", "Hem trail", "The Hem trail is 18 kilometres long."),
    (
        "Who painted the ceiling of Rode chapel?",
        "Rode chapel",
        "The ceiling paintings of Rode chapel are by Anna Lisch.",
    ),
    ("When do I have to hand in my Brinn tax return?", "Brinn tax office", "Tax returns are due on 31 July."),
]

DECLINED = [
    ("How long is the Aldern cable car?", "Aldern mountain railway", "The Aldern mountain railway is 2.1 km long."),
    ("What does the Orta car insurance cost?", "Orta bicycle insurance", "Bicycle insurance costs 40 euros a year."),
    ("Who burned down the Blue Hen pub?", "The Blue Hen", "The pub is run by Gerta Holm."),
    (
        "How many bedrooms are there in the Fern hotel in Ulm?",
        "Fern lodge",
        "| Fern lodge | |\n|---|---|\n| Bedrooms | 6 |",
    ),
    ("What is new in Torq 9?", "Torq 4", "New in Torq 4 is a parser."),
    (
        "Why was the Senn bridge blown up?",
        "Senn bridge",
        "The Senn bridge was opened in 1931 because of heavy traffic.",
    ),
    ("What did the Mule drone win a prize for?", "Mule drone", "Maximum payload: 12 kg"),
    ("How heavy is the Mule drone?", "Mule drone", "The Mule drone flies for 40 minutes and costs 900 euros."),
    ("Who was the wife of Piet Horn?", "Piet Horn", "The sculptor Piet Horn died in 1976. Karl Dohm bought his house."),
    ("When was Olaf Brandt's sister born?", "Olaf Brandt", "Olaf Brandt was born on 4 May 1931 in Kiel."),
    ("What is the wingspan of the grey owl?", "Grey hawker", "The wingspan of the grey hawker is 70 mm."),
    (
        "How many people died in the fire of the Lyra theatre?",
        "Lyra theatre",
        "The Lyra theatre has 640 seats for people.",
    ),
]


@pytest.mark.parametrize(("question", "title", "text"), ANSWERED)
def test_what_a_page_says_answers(question: str, title: str, text: str) -> None:
    _, sentences = found(question, (title, text))
    assert any(sentence.is_answer for sentence in sentences)


@pytest.mark.parametrize(("question", "title", "text"), DECLINED)
def test_what_a_page_does_not_say_is_not_answered_by_what_looks_like_it(question: str, title: str, text: str) -> None:
    _, sentences = found(question, (title, text))
    assert [sentence.text for sentence in sentences if sentence.is_answer] == []
