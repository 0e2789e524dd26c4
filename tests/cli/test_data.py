"""`stead data`: mistakes in cards and files are told by place, never by value; nothing is kept of a dry run."""

import json

import pytest

MISTAKES = [
    ('purpose = "cardiology research"', 'purpos = ""', r"there is no key 'purpos'", 'did you mean "purpose"?'),
    ("bounds = { low = 18, high = 100 }\n", "", "column 'age' is integer and needs bounds", "bounds = {"),
    ("low = 18, high = 100", "low = 18", "columns 'age' bounds: the key 'high' is missing", ""),
    ('categories = ["F", "M"]\n', "", "column 'sex': categories", ""),
    ('kind = "integer"', 'kind = "int"', "columns 'age' kind: 'int' is not possible here", 'did you mean "integer"?'),
    ("people = [4, 50]", "people = []", "schema people: expected list of length 2, got 0", ""),
    ("people = [4, 50]", "people = [50, 4]", "1 <= least <= most; got (50, 4)", ""),
    ("people = [4, 50]", "people = [40, 50]", "fewer people than the schema declares (40 to 50)", "true, and public"),
    ("people = [4, 50]", "people = [40, 50", "is not TOML", ""),
    ('name = "age"', 'name = "years"', "no column 'years'", "letter by letter"),
    ('name = "pressure"\nkind = "real"', 'name = "note"\nkind = "real"', "not of kind real", ""),
]


@pytest.mark.parametrize(("old", "new", "message", "hint"), MISTAKES)
def test_a_card_with_a_mistake(run, made, old, new, message, hint):
    card = (made / "card.toml").read_text()
    assert old in card
    (made / "card.toml").write_text(card.replace(old, new, 1))
    ran = run("data", "add", "heart.csv", "--card", "card.toml", code=2)
    assert message in ran.err
    assert hint in ran.err
    assert json.loads(run("data", "ls", "--json").out) == []
    assert list((made / "stead-node/data").iterdir()) == []


def test_files_that_cannot_be_read(run, made):
    (made / "empty.csv").touch()
    (made / "noise.csv").write_bytes(bytes(range(128, 256)) * 3)
    (made / "noise.parquet").write_bytes(b"PAR1" + bytes(range(256)))
    (made / "short.csv").write_text("age,sex,pressure,disease\n52,F\n")
    (made / "bytes.toml").write_bytes(b"\xff\xfe")
    for file, message in (
        ("empty.csv", "'empty.csv' is empty"),
        ("noise.csv", "cannot be read as csv"),
        ("noise.parquet", "cannot be read as parquet"),
        ("short.csv", "the file"),
        ("nothing.csv", "nothing.csv cannot be read: No such file"),
    ):
        assert message in run("data", "add", file, "--card", "card.toml", code=2).err
    assert "no card 'nothing.toml'" in run("data", "add", "heart.csv", "--card", "nothing.toml", code=2).err
    assert "not UTF-8" in run("data", "add", "heart.csv", "--card", "bytes.toml", code=2).err
    assert "there is no file" in run("data", "draft", "nothing.csv", code=2).err
    assert "is a directory" in run("data", "add", ".", "--card", "card.toml", code=2).err


def test_a_dry_run_checks_everything_and_keeps_nothing(run, made):
    before = (made / "stead-node/checkpoint.txt").read_text()
    ran = run("data", "add", "heart.csv", "--card", "card.toml", "--dry-run")
    assert "18 to 100 years" in ran.out
    assert "the rows fit the card; nothing was kept" in ran.err
    assert "5 rows of 5 people" in ran.err
    assert (made / "stead-node/checkpoint.txt").read_text() == before
    assert list((made / "stead-node/data").iterdir()) == []
    run("data", "add", "heart.csv", "--card", "nothing.toml", "--dry-run", code=2)


def test_dates_are_shown_as_dates(run, made):
    card, rows = made / "card.toml", made / "heart.csv"
    days = 'bounds = { low = "1999-12-31", high = "2000-01-01" }'
    card.write_text(f'{card.read_text()}\n[[schema.columns]]\nname = "seen"\nkind = "date"\n{days}\n')
    header, *lines = rows.read_text().splitlines()
    rows.write_text("\n".join([f"{header},seen", *(f"{line},1999-12-31" for line in lines)]))
    run("data", "add", "heart.csv", "--card", "card.toml")
    shown = run("data", "show", "heart", "--rows", "40").out
    assert "1999-12-31 to 2000-01-01" in shown
    assert shown.count("1999-12-31") + shown.count("2000-01-01") == 2 + 40


def test_the_card_is_shown_before_rows_are_loaded(run, made):
    card = made / "card.toml"
    card.write_text(card.read_text().replace("[4, 50]", "[40, 50]"))
    ran = run("data", "add", "heart.csv", "--card", "card.toml", code=2)
    assert "40 to 50 of population 'north patients', one patient protected" in ran.out


def test_rows_outside_the_card_are_counted_for_the_owner(run, made):
    with (made / "heart.csv").open("a") as file:
        file.write("17,X,300,true,\n")
    ran = run("data", "add", "heart.csv", "--card", "card.toml")
    assert ran.err.count("1 values") == 3
    assert "heart: added" in ran.err
    assert "heart: replaced" in run("data", "add", "heart.csv", "--card", "card.toml").err


def test_the_same_people_have_one_budget(run, made):
    run("data", "add", "heart.csv", "--card", "card.toml")
    other = (made / "card.toml").read_text().replace("north", "other")
    for card in (other, other.replace('"heart"', '"heart2"')):
        (made / "other.toml").write_text(card)
        ran = run("data", "add", "heart.csv", "--card", "other.toml", code=2)
        assert "the same people have one budget" in ran.err
        assert 'population = "north patients" in the card' in ran.err
        assert "one budget" in run("data", "add", "heart.csv", "--card", "other.toml", "--dry-run", code=2).err


def test_a_draft_holds_names_and_no_value_and_does_not_load(run, made):
    ran = run("data", "draft", "heart.csv")
    assert [line for line in ran.out.splitlines() if line.startswith("name")] == [
        f'name = "{name}"' for name in ("heart", "age", "sex", "pressure", "disease", "note")
    ]
    for value in ("52", "121", "133"):
        assert value not in ran.out
    (made / "draft.toml").write_text(ran.out)
    run("data", "add", "heart.csv", "--card", "draft.toml", code=2)


def test_a_draft_filled_in_is_a_card(run, made):
    text = run("data", "draft", "heart.csv").out
    text = text.replace('population = "" ', 'population = "north" ').replace("people = []", "people = [4, 50]")
    text = text.replace("# bounds = { low = , high = }", "bounds = { low = 0, high = 300 }")
    (made / "card.toml").write_text(text)
    run("data", "add", "heart.csv", "--card", "card.toml")


def test_show_and_ls(run, made):
    assert "no data yet" in run("data", "ls").err
    run("data", "add", "heart.csv", "--card", "card.toml")
    assert run("data", "ls").out.splitlines()[1].split() == ["heart", "north", "patients", "patient", "4", "to", "50"]
    shown = run("data", "show", "heart", "--rows", "3").out
    assert "60 to 220" in shown
    assert len(shown.split("from the card alone:\n")[1].splitlines()) == 1 + 3
    assert "mock" not in run("data", "show", "heart", "--rows", "0").out
    (listed,) = json.loads(run("data", "ls", "--json").out)
    assert json.loads(run("data", "show", "heart", "--json").out) == listed
    assert listed["schema"]["people"] == [4, 50]
    assert "no dataset 'hart'" in run("data", "show", "hart", code=2).err
    run("data", "show", "heart", "--rows", "-1", code=2)
