// A sheet of paper to draw a picture on.

const PEN_PX = 16;

class Sketch {
  constructor(dialog) {
    this.dialog = dialog;
    this.title = dialog.querySelector("h2");
    this.paper = dialog.querySelector("canvas");
    this.context = this.paper.getContext("2d", { willReadFrequently: true });
    this.pen = null;
    this.paper.onpointerdown = (event) => this.down(event);
    this.paper.onpointermove = (event) => this.move(event);
    this.paper.onpointerup = this.paper.onpointercancel = () => (this.pen = null);
    dialog.querySelector("#sketch-clear").onclick = () => this.clear();
    dialog.querySelector("#sketch-use").onclick = () => this.use();
  }

  /** Opens the paper; `done` gets each drawing. */
  open(title, isForOne, done) {
    this.title.textContent = title;
    this.isForOne = isForOne;
    this.done = done;
    this.clear();
    this.dialog.showModal();
  }

  use() {
    if (this.isBlank) return;
    this.done(framePixels(this.paper, this.paper.width, this.paper.height, this.paper.width));
    this.clear();
    if (this.isForOne) this.dialog.close();
  }

  clear() {
    this.isBlank = true;
    this.context.fillStyle = "white";
    this.context.fillRect(0, 0, this.paper.width, this.paper.height);
  }

  down(event) {
    this.paper.setPointerCapture(event.pointerId);
    this.pen = this.at(event);
    this.line(this.pen);
  }

  move(event) {
    if (!this.pen) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.line(this.at(one));
  }

  line(to) {
    Object.assign(this.context, { lineWidth: PEN_PX, lineCap: "round", strokeStyle: "black" });
    this.context.beginPath();
    this.context.moveTo(...this.pen);
    this.context.lineTo(...to);
    this.context.stroke();
    this.pen = to;
    this.isBlank = false;
  }

  at(event) {
    const box = this.paper.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * this.paper.width) / box.width,
      ((event.clientY - box.top) * this.paper.height) / box.height,
    ];
  }
}
