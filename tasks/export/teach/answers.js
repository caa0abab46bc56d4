// What the lesson makes of a picture: ranked classes, or "unknown".

/** @returns {{ranked: [{key, name, probability}], isUnknown, score, threshold}} */
function answerOf(embedding, probabilities, learned, settings, threshold) {
  const ranked = learned.classes
    .map(({ key, name }, at) => ({ key, name, probability: probabilities[at], at }))
    .sort((one, other) => other.probability - one.probability);
  const isAlike = settings.unknown?.score === "similarity";
  const centre = learned.centres[ranked[0].at];
  const score = isAlike ? likeness(embedding, centre) : ranked[0].probability;
  return { ranked, score, threshold, isUnknown: score < threshold };
}

function answerInWords({ ranked, isUnknown }) {
  return isUnknown ? "unknown" : `${ranked[0].name}, ${percent(ranked[0].probability)}`;
}

class AnswerView {
  /** @param {function} teach called with the key of the class that the picture belongs to. */
  constructor(teach) {
    this.teach = teach;
    this.rows = new Map();
    this.verdict = document.getElementById("verdict");
    this.why = document.getElementById("verdict-why");
    this.bars = document.getElementById("bars");
  }

  /** Shows an answer; or `hint`, where there is none. */
  render(answer, classes, hint) {
    this.verdict.textContent = answer ? answerInWords(answer) : hint;
    this.verdict.className = answer ? (answer.isUnknown ? "unknown" : "known") : "quiet";
    this.why.textContent = answer?.isUnknown
      ? `Nothing taught fits well enough: ${answer.score.toFixed(3)}, needed ${answer.threshold.toFixed(3)}.`
      : "";
    const present = new Set(classes.map(({ key }) => key));
    for (const key of this.rows.keys()) if (!present.has(key)) this.rows.delete(key);
    const shares = new Map(answer?.ranked.map(({ key, probability }) => [key, probability]));
    const likeliest = answer && !answer.isUnknown ? answer.ranked[0].key : null;
    reconcile(
      this.bars,
      classes.map((one) => this.row(one, shares.get(one.key), one.key === likeliest)),
    );
  }

  row({ key, name }, share, isLikeliest) {
    let row = this.rows.get(key);
    if (!row) {
      row = {
        name: element("span", { className: "bar-name" }),
        fill: element("span", { className: "bar-fill" }),
        share: element("span", { className: "bar-share" }),
        teach: button("+", "", () => this.teach(key), "plain"),
      };
      const bar = element("span", { className: "bar", "aria-hidden": "true" }, row.fill);
      row.root = element("li", {}, row.name, row.share, row.teach, bar);
      this.rows.set(key, row);
    }
    row.name.textContent = isLikeliest ? `✓ ${name}` : name;
    row.share.textContent = share === undefined ? "" : percent(share);
    row.fill.style.transform = `scaleX(${share ?? 0})`;
    row.root.classList.toggle("likeliest", isLikeliest);
    row.root.dataset.probability = share ?? "";
    row.teach.setAttribute("aria-label", `Teach this picture as ${name}`);
    row.teach.title = `Teach this picture as ${name}`;
    row.teach.hidden = share === undefined;
    return row.root;
  }
}

/** The strip of pictures tried. */
class QueryList {
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    this.tiles = new WeakMap();
  }

  render(queries, selected) {
    reconcile(
      this.list,
      queries.map((query) => this.tile(query, query === selected)),
    );
  }

  tile(query, isSelected) {
    let tile = this.tiles.get(query);
    if (!tile) {
      tile = {
        words: element("span", { className: "tile-words" }),
        show: button("", "", () => this.actions.show(query), "tile"),
        remove: button("×", `Put ${query.source} away`, () => this.actions.remove(query), "remove"),
      };
      tile.show.append(element("img", { src: query.thumbnail, alt: "" }), tile.words);
      tile.root = element("li", {}, tile.show, tile.remove);
      this.tiles.set(query, tile);
    }
    const words = query.answer ? answerInWords(query.answer) : "no answer yet";
    tile.words.textContent = query.answer ? words.replace(/, [^,]*$/, "") : "";
    tile.show.setAttribute("aria-label", `${query.source}: ${words}`);
    tile.show.setAttribute("aria-pressed", String(isSelected));
    tile.show.title = `${query.source}: ${words}`;
    return tile.root;
  }
}
