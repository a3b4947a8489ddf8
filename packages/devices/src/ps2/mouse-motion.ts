import { type InputEvent, Stateful } from '@retrap/device'

/** Button numbers of the HID Button page, in the order of the bits of a report: left, right, middle, fourth, fifth. */
const BUTTONS = 5
const ALWAYS_ONE = 0x08
const NEGATIVE_X = 0x10
const NEGATIVE_Y = 0x20
/** The counters of a report have nine bits. */
const LEAST = -256
const MOST = 255
/** Movement that waits for a report is bounded. */
const FARTHEST = 0x7fff
/** Detents that one report has room for, with five buttons and without. */
const MOST_DETENTS = 7

/** The mouse's motion since the last report, and its buttons. */
export class MouseMotion extends Stateful {
  /** Counts to the right and down, detents away from the user, buttons from bit 0, and as last reported. */
  readonly #r = this.keeps({ dx: 0, dy: 0, wheel: 0, buttons: 0, reported: 0 })

  /** Counts an event. An absolute place is not for a mouse. */
  add(event: InputEvent): void {
    if (event.kind === 'relative') {
      this.#r.dx = bounded(this.#r.dx + event.dx)
      this.#r.dy = bounded(this.#r.dy + event.dy)
    } else if (event.kind === 'wheel') this.#r.wheel = bounded(this.#r.wheel + event.vertical)
    else if (event.kind === 'button' && event.button >= 1 && event.button <= BUTTONS) {
      const bit = 1 << (event.button - 1)
      this.#r.buttons = event.down ? this.#r.buttons | bit : this.#r.buttons & ~bit
    }
  }

  get buttonsChanged(): boolean {
    return this.#r.buttons !== this.#r.reported
  }

  get changed(): boolean {
    return this.buttonsChanged || this.#r.dx !== 0 || this.#r.dy !== 0 || this.#r.wheel !== 0
  }

  /** The buttons in the status byte's order: right, middle and left from bit 0. */
  get statusButtons(): number {
    const buttons = this.#r.buttons
    return ((buttons >> 1) & 3) | ((buttons & 1) << 2)
  }

  /**
   * The next report. Movement beyond its nine bits is left for the one after it, so that no overflow is reported.
   *
   * @param id - 0: three bytes; 3: a wheel in the fourth; 4: and two more buttons
   */
  packet(id: number, scaled: boolean): number[] {
    const rawX = clamp(this.#r.dx, LEAST, MOST)
    const rawY = clamp(-this.#r.dy, LEAST, MOST)
    this.#r.dx -= rawX
    this.#r.dy += rawY
    const x = scaled ? clamp(scale(rawX), LEAST, MOST) : rawX
    const y = scaled ? clamp(scale(rawY), LEAST, MOST) : rawY
    this.#r.reported = this.#r.buttons
    const signs = (x < 0 ? NEGATIVE_X : 0) | (y < 0 ? NEGATIVE_Y : 0)
    const bytes = [ALWAYS_ONE | signs | (this.#r.buttons & 7), x & 0xff, y & 0xff]
    if (id === 0) {
      this.#r.wheel = 0
      return bytes
    }
    // Towards the user is positive.
    const detents = clamp(-this.#r.wheel, -MOST_DETENTS, MOST_DETENTS)
    this.#r.wheel += detents
    bytes.push(id === 3 ? detents & 0xff : (detents & 0x0f) | ((this.#r.buttons & 0x18) << 1))
    return bytes
  }

  /** Drops movement that was not reported; buttons stay as they are. */
  forget(): void {
    Object.assign(this.#r, { dx: 0, dy: 0, wheel: 0, reported: this.#r.buttons })
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

function bounded(value: number): number {
  // A back end's NaN must not stay for ever.
  return clamp(Math.trunc(value) || 0, -FARTHEST, FARTHEST)
}

/** Counts of a report with scaling 2:1 (IBM PS/2 mouse, "Set Scaling 2:1"). */
function scale(counts: number): number {
  const magnitude = Math.abs(counts)
  const scaled = [0, 1, 1, 3, 6, 9][magnitude] ?? 2 * magnitude
  return counts < 0 ? -scaled : scaled
}
