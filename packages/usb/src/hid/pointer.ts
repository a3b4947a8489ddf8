import type { InputEvent } from '@retrap/device'
import type { HidOptions } from '../usb-device.ts'
import { HidDevice } from './hid-function.ts'

/** Options of {@link UsbPointer}. */
export interface UsbPointerOptions extends HidOptions {
  readonly kind: 'mouse' | 'tablet'
}

/** One state of a pointer: buttons, x and y (a place, or a distance), and turns of the wheels. */
interface Motion {
  readonly buttons: number
  readonly x: number
  readonly y: number
  readonly wheel: number
  readonly pan: number
}

const listOf = ({ buttons, x, y, wheel, pan }: Motion): readonly number[] => [buttons, x, y, wheel, pan]

const motionOf = ([buttons = 0, x = 0, y = 0, wheel = 0, pan = 0]: readonly number[]): Motion => {
  return { buttons, x, y, wheel, pan }
}

const INTERVAL_MS = 4
const MOST_BUTTONS = 5
const BOOT_BYTES = 3
/** Largest value of a byte with a sign. */
const MOST_STEP = 127
/** Most states that may wait for the host; all movement between two changes of buttons is one state. */
const MOST_WAITING = 32
const MOST_PLACE = 0x7fff

const BUTTONS = [
  ...[0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00],
  ...[0x05, 0x09, 0x19, 0x01, 0x29, MOST_BUTTONS, 0x15, 0x00, 0x25, 0x01, 0x95, MOST_BUTTONS, 0x75, 0x01, 0x81, 0x02],
  ...[0x95, 0x01, 0x75, 0x03, 0x81, 0x01],
]
/** Turns of the wheel to the side: "AC Pan" of the Consumer page. */
const PAN = [0x05, 0x0c, 0x0a, 0x38, 0x02, 0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0]

/** The first three bytes of a report are the boot protocol's. Source: HID 1.11, appendix B.2, "Protocol 2 (Mouse)". */
const MOUSE_REPORT = Uint8Array.of(
  ...BUTTONS,
  ...[0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06],
  ...PAN,
)
const TABLET_REPORT = Uint8Array.of(
  ...BUTTONS,
  ...[0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f],
  ...[0x75, 0x10, 0x95, 0x02, 0x81, 0x02],
  ...[0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06],
  ...PAN,
)

const STILL: Motion = { buttons: 0, x: 0, y: 0, wheel: 0, pan: 0 }
const step = (distance: number): number => Math.max(-MOST_STEP, Math.min(MOST_STEP, distance))
const place = (value: number): number => Math.max(0, Math.min(MOST_PLACE, Math.round(value) || 0))

/**
 * A USB mouse with the boot protocol, or a tablet, which reports absolute positions, so that a window need not capture
 * the mouse. Each has five buttons and two wheels.
 */
export class UsbPointer extends HidDevice {
  readonly #isTablet: boolean
  /** The last state. */
  #now: Motion = STILL
  #waiting: Motion[] = []

  constructor({ kind, name = `usb-${kind}`, ...options }: UsbPointerOptions) {
    const isTablet = kind === 'tablet'
    super(isTablet ? 'USB Tablet' : 'USB Mouse', { ...options, name }, INTERVAL_MS, {
      reports: isTablet ? TABLET_REPORT : MOUSE_REPORT,
      boot: isTablet ? 0 : 2,
      pointer: isTablet ? 'absolute' : 'relative',
      current: () => this.#report(isTablet ? this.#now : { ...STILL, buttons: this.#now.buttons }),
      take: () => this.#take(),
    })
    this.#isTablet = isTablet
    this.keeps({
      version: 1,
      now: {
        save: () => listOf(this.#now),
        restore: (now: readonly number[]): void => void (this.#now = motionOf(now)),
        reset: (): void => void (this.#now = STILL),
      },
      waiting: {
        save: () => this.#waiting.map(listOf),
        restore: (waiting: readonly (readonly number[])[]): void => void (this.#waiting = waiting.map(motionOf)),
        reset: (): void => void (this.#waiting = []),
      },
      hid: () => this.hid,
    })
  }

  /** Takes movements while the host uses the pointer. */
  input(events: readonly InputEvent[]): number {
    if (!this.isConfigured) return 0
    let taken = 0
    for (const event of events) {
      if (this.#waiting.length >= MOST_WAITING) break
      taken++
      this.#note(event)
    }
    if (this.#waiting.length > 0) this.hid.changed()
    return taken
  }

  #note(event: InputEvent): void {
    const now = this.#now
    if (event.kind === 'button') {
      if (event.button < 1 || event.button > MOST_BUTTONS) return
      const bit = 1 << (event.button - 1)
      this.#add({ ...now, wheel: 0, pan: 0, buttons: event.down ? now.buttons | bit : now.buttons & ~bit })
    } else if (event.kind === 'wheel') {
      const { vertical, horizontal } = event
      this.#add({ ...now, wheel: Math.round(vertical), pan: Math.round(horizontal) })
    } else if (event.kind === 'absolute' && this.#isTablet) {
      this.#add({ ...STILL, buttons: now.buttons, x: place(event.x), y: place(event.y) })
    } else if (event.kind === 'relative' && !this.#isTablet) {
      this.#add({ ...STILL, buttons: now.buttons, x: Math.round(event.dx), y: Math.round(event.dy) })
    }
  }

  /** Joins a state to the last one that waits, unless the buttons differ. */
  #add(next: Motion): void {
    // A distance is added once.
    this.#now = this.#isTablet ? { ...next, wheel: 0, pan: 0 } : { ...STILL, buttons: next.buttons }
    const last = this.#waiting.at(-1)
    if (last === undefined || last.buttons !== next.buttons) {
      this.#waiting.push(next)
      return
    }
    const [x, y] = this.#isTablet ? [next.x, next.y] : [last.x + next.x, last.y + next.y]
    this.#waiting[this.#waiting.length - 1] = {
      buttons: next.buttons,
      x,
      y,
      wheel: last.wheel + next.wheel,
      pan: last.pan + next.pan,
    }
  }

  #take(): Uint8Array | null {
    const first = this.#waiting[0]
    if (first === undefined) return null
    const report = this.#report(first)
    const wheel = first.wheel - step(first.wheel)
    const pan = first.pan - step(first.pan)
    const [x, y] = this.#isTablet ? [first.x, first.y] : [first.x - step(first.x), first.y - step(first.y)]
    const moreMotion = !this.#isTablet && (x !== 0 || y !== 0)
    if (wheel !== 0 || pan !== 0 || moreMotion) this.#waiting[0] = { buttons: first.buttons, x, y, wheel, pan }
    else this.#waiting.shift()
    if (this.#waiting.length === 0) this.backend.ready()
    return report
  }

  #report({ buttons, x, y, wheel, pan }: Motion): Uint8Array {
    const wheels = [step(wheel) & 0xff, step(pan) & 0xff]
    if (this.#isTablet) return Uint8Array.of(buttons, x & 0xff, x >>> 8, y & 0xff, y >>> 8, ...wheels)
    const report = Uint8Array.of(buttons, step(x) & 0xff, step(y) & 0xff, ...wheels)
    return this.hid.isBoot ? report.subarray(0, BOOT_BYTES) : report
  }
}
