import type { PointerChange } from './protocol.ts'

/** Movement in CSS pixels below which a finger counts as still. */
const SLACK = 10
/** A finger that stays this long is the right button. */
const LONG_PRESS_MS = 500
/** Two fingers turn the wheel by a detent for this many CSS pixels. */
const DETENT_PIXELS = 24

/** Where a finger is, as a movement of the guest's pointer. */
export type FingerMove = Extract<PointerChange, { kind: 'move' }>

interface Finger {
  readonly startX: number
  readonly startY: number
  x: number
  y: number
}

type Gesture =
  | 'none'
  /** One finger, whose gesture is not decided yet. */
  | 'waits'
  /** The finger moves the pointer; with an absolute one the left button is held. */
  | 'moves'
  /** Two fingers turn the wheel; after one of them lifts, the other continues. */
  | 'scrolls'
  /** A long press was the right button. */
  | 'done'

/** The part of the machine that fingers on a screen need. */
export interface TouchedMachine {
  readonly pointer: 'none' | 'relative' | 'absolute'
  sendPointer(events: readonly PointerChange[]): void
}

/**
 * Fingers on a screen, as a guest's mouse. With an absolute pointer a tap is a click where it is, and a finger that moves holds
 * the button; with a relative one the screen is a touch pad. A long press is the right button, two fingers turn the wheel.
 */
export class TouchPointer {
  readonly #machine: TouchedMachine
  readonly #fingers = new Map<number, Finger>()
  #gesture: Gesture = 'none'
  /** Position of the first finger. */
  #place: FingerMove | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The left button is held. */
  #held = false
  #scrolled = 0

  constructor(machine: TouchedMachine) {
    this.#machine = machine
  }

  /** A finger comes. @param place - place, without movement */
  down({ pointerId, clientX, clientY }: PointerEvent, place: FingerMove): void {
    this.#fingers.set(pointerId, { startX: clientX, startY: clientY, x: clientX, y: clientY })
    clearTimeout(this.#timer)
    if (this.#fingers.size > 1) {
      this.#release()
      this.#gesture = 'scrolls'
      this.#scrolled = 0
      return
    }
    // The machine says which pointer its guest has, before the finger goes.
    this.#machine.sendPointer([])
    this.#gesture = 'waits'
    this.#place = place
    this.#timer = setTimeout(() => this.#click('right', 'done'), LONG_PRESS_MS)
  }

  /** A finger moves. */
  move({ pointerId, clientX, clientY }: PointerEvent, place: FingerMove): void {
    const finger = this.#fingers.get(pointerId)
    if (finger === undefined) return
    const [dx, dy] = [clientX - finger.x, clientY - finger.y]
    if (this.#gesture === 'scrolls') this.#scroll(dy / this.#fingers.size)
    if (this.#gesture === 'waits') {
      if (Math.hypot(clientX - finger.startX, clientY - finger.startY) <= SLACK) return
      clearTimeout(this.#timer)
      this.#gesture = 'moves'
      if (this.#machine.pointer === 'absolute') {
        this.#machine.sendPointer([this.#place!, { kind: 'button', button: 'left', down: true }])
        this.#held = true
      }
    }
    finger.x = clientX
    finger.y = clientY
    if (this.#gesture === 'moves') this.#machine.sendPointer([{ ...place, dx, dy }])
  }

  /** A finger goes. */
  up({ pointerId }: PointerEvent): void {
    if (!this.#fingers.delete(pointerId)) return
    clearTimeout(this.#timer)
    if (this.#gesture === 'waits') this.#click('left', 'none')
    if (this.#fingers.size > 0) return
    this.#release()
    this.#gesture = 'none'
  }

  /** Called when the browser uses the finger for its own gesture. */
  cancel({ pointerId }: PointerEvent): void {
    this.#fingers.delete(pointerId)
    this.end()
  }

  /** Nothing stays pressed. */
  end(): void {
    clearTimeout(this.#timer)
    this.#release()
    this.#gesture = this.#fingers.size > 0 ? 'done' : 'none'
  }

  #click(button: 'left' | 'right', next: Gesture): void {
    this.#gesture = next
    const press = [true, false].map((down) => ({ kind: 'button', button, down }) as const)
    this.#machine.sendPointer([this.#place!, ...press])
  }

  #release(): void {
    if (this.#held) this.#machine.sendPointer([{ kind: 'button', button: 'left', down: false }])
    this.#held = false
  }

  /** The text below comes up, as the fingers do. */
  #scroll(dy: number): void {
    this.#scrolled += dy
    const vertical = Math.trunc(this.#scrolled / DETENT_PIXELS)
    this.#scrolled -= vertical * DETENT_PIXELS
    if (vertical !== 0) this.#machine.sendPointer([{ kind: 'wheel', vertical }])
  }
}
