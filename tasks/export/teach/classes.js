// The list of classes: a card each, with its name, pictures and what can be done.

class ClassList {
  /** @param {object} actions what the buttons do: teach, forget, rename, remove, take, draw. */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    this.cards = new Map();
    this.thumbnails = new WeakMap();
  }

  render(lesson, isFilming) {
    const present = new Set(lesson.classes.map((one) => one.key));
    for (const key of this.cards.keys()) if (!present.has(key)) this.cards.delete(key);
    reconcile(
      this.list,
      lesson.classes.map((one) => this.card(one, isFilming)),
    );
  }

  focus(key) {
    this.cards.get(key)?.add.focus();
  }

  /** The class whose card an element lies in. */
  keyOf(inner) {
    return Number(inner?.closest?.(".card")?.dataset.key) || null;
  }

  card(one, isFilming) {
    let card = this.cards.get(one.key);
    if (!card) {
      card = this.newCard(one.key);
      this.cards.set(one.key, card);
    }
    const { name, pictures } = one;
    card.root.setAttribute("aria-label", `Class ${name}`);
    card.pictures.setAttribute("aria-label", `Pictures of ${name}`);
    if (card.shownName !== name) card.name.value = card.shownName = name;
    card.count.textContent = counted(pictures.length, "picture");
    card.forget.setAttribute("aria-label", `Forget ${name}`);
    card.add.setAttribute("aria-label", `Add pictures to ${name}`);
    card.take.setAttribute("aria-label", `Take picture for ${name}`);
    card.draw.setAttribute("aria-label", `Draw for ${name}`);
    card.draw.hidden = !settings.drawing;
    card.take.hidden = !isFilming;
    card.hint.hidden = isFilming;
    reconcile(
      card.pictures,
      pictures.map((picture, at) => this.thumbnail(picture, one, at)),
    );
    return card.root;
  }

  newCard(key) {
    const { actions } = this;
    const card = {
      name: element("input", {
        className: "name",
        type: "text",
        maxLength: MOST_NAME_LETTERS,
        spellcheck: false,
        "aria-label": "Name of the class",
      }),
      count: element("span", { className: "count quiet" }),
      forget: button("Forget", "Forget", () => actions.forget(key), "plain"),
      pictures: element("ul", { className: "pictures" }),
      add: button("Add pictures", "Add pictures", () => actions.choose(key)),
      take: button("Take picture", "Take picture", () => {}, "main"),
      draw: button("Draw", "Draw", () => actions.draw(key)),
      hint: element("span", { className: "quiet hint", textContent: "or drop or paste them here" }),
    };
    card.name.onchange = () => {
      if (!actions.rename(key, card.name.value)) card.name.value = card.shownName;
    };
    card.name.onkeydown = (event) => {
      if (event.key === "Escape") card.name.value = card.shownName;
      if (event.key === "Enter" || event.key === "Escape") card.name.blur();
    };
    repeatWhileHeld(card.take, (batch) => actions.take(key, batch));
    card.root = element(
      "div",
      { className: "card drop", role: "group", "data-key": key },
      element("div", { className: "card-head" }, card.name, card.count, card.forget),
      card.pictures,
      element("div", { className: "tools" }, card.add, card.take, card.draw, card.hint),
    );
    takeDrops(card.root, (files) => actions.teach(key, files));
    return card;
  }

  thumbnail(picture, { key, name }, at) {
    let shown = this.thumbnails.get(picture);
    const words = picture.source || `picture ${at + 1}`;
    if (!shown) {
      const image = picture.thumbnail
        ? element("img", { src: picture.thumbnail, alt: words })
        : element("span", { className: "no-picture", textContent: words });
      const remove = button("×", "", () => this.remove(key, picture), "remove");
      shown = { remove, root: element("li", { title: words }, image, remove) };
      this.thumbnails.set(picture, shown);
    }
    shown.remove.setAttribute("aria-label", `Remove ${words} from ${name}`);
    return shown.root;
  }

  /** Removes a picture; the focus goes to the one that takes its place. */
  remove(key, picture) {
    const { root } = this.thumbnails.get(picture);
    const next = root.nextElementSibling ?? root.previousElementSibling;
    this.actions.remove(key, picture);
    (next?.querySelector("button") ?? this.cards.get(key)?.add)?.focus();
  }
}

/** Calls `done` on a press, and again while the button is held; with one token for each hold. */
function repeatWhileHeld(held, done, everyMs = 250) {
  let timer = null;
  const stop = () => clearInterval(timer);
  held.onpointerdown = (event) => {
    if (event.button !== 0) return;
    const batch = Symbol("hold");
    stop();
    timer = setInterval(() => done(batch), everyMs);
    done(batch);
  };
  held.onpointerup = held.onpointerleave = held.onpointercancel = stop;
  // A keyboard, or a screen reader, makes clicks without a pointer.
  held.onclick = (event) => event.detail === 0 && done(Symbol("press"));
}
