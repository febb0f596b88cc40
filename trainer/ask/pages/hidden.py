"""Takes out of a page what people do not see: orders to programs are hidden there."""

import re
from typing import Any

STYLES_MAX = 200_000  # characters of stylesheets that are read
HIDDEN = [  # text that people do not see: pages hide orders to programs there
    "//*[@hidden]",
    "//*[@aria-hidden='true']",
    "//template | //noscript",
]
HIDING = re.compile(  # declarations of a style, without spaces; not opacity:0, from which much is faded in
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|color:transparent|"
    r"font-size:(?:0(?:px|pt|em|rem|%)?(?:;|!|$)|1(?:px|pt)|0?\.\d+(?:px|pt)|0?\.[0-2]\d*(?:em|rem))|"
    r"(?:text-indent|left|top|right|bottom|margin-left):-\d{3,}|"
    r"clip:rect\((?:0|1px)|clip-path:inset\((?:50|100)%|transform:scale\(0(?:[,)]))",
    re.IGNORECASE,
)
RULE = re.compile(r"([^{}]{1,500})\{([^{}]{0,2000})\}")  # of a stylesheet
SIMPLE_SELECTOR = re.compile(r"(?:\w+)?([.#])([\w-]+)")


def drop_hidden(tree: Any) -> None:
    """Take out what people do not see, by attributes, by styles, and by simple rules of the page's own stylesheet."""
    hidden = [element for path in HIDDEN for element in tree.xpath(path)]
    hidden += [element for element in tree.xpath("//*[@style]") if _hides(element.get("style"))]
    kinds = {".": set[str](), "#": set[str]()}
    sheet = "\n".join(str(each.text or "") for each in tree.xpath("//style"))[:STYLES_MAX]
    for selectors, style in RULE.findall(sheet):
        for selector in selectors.split(",") if _hides(style) else ():
            if match := SIMPLE_SELECTOR.fullmatch(selector.strip()):
                kinds[match[1]].add(match[2])
    by_rule = [each for each in tree.xpath("//*[@class]") if not kinds["."].isdisjoint(each.get("class").split())]
    by_rule += [each for each in tree.xpath("//*[@id]") if each.get("id") in kinds["#"]]
    most = len(tree.text_content()) / 2  # more than that is shown by a script later
    for element in [*hidden, *(each for each in by_rule if len(each.text_content()) <= most)]:
        if element.getparent() is not None and element.tag not in ("body", "html"):
            element.drop_tree()


def _hides(style: str) -> bool:
    return bool(HIDING.search("".join(style.split())))
