import type { InputEvent } from '@retrap/device'
import type { HidOptions } from '../usb-device.ts'
import { HidDevice, type HidFunction, REPORT_BYTES } from './hid-function.ts'

const INTERVAL_MS = 8
const FIRST_MODIFIER = 0xe0
const LAST_MODIFIER = 0xe7
/** Keys of a report beside the modifiers. */
const MOST_KEYS = 6
/** Reported in place of each key where more are down. */
const ROLL_OVER = 0x01
/** Most reports that may wait for the host. */
const MOST_REPORTS = 32

/**
 * The boot keyboard's report descriptor, for usages up to 0xFF.
 *
 * Source: HID 1.11, appendix B.1, "Protocol 1 (Keyboard)".
 */
const REPORT_DESCRIPTOR = Uint8Array.of(
  ...[0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07],
  // Eight modifiers, and a byte that is reserved
  ...[0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02],
  ...[0x95, 0x01, 0x75, 0x08, 0x81, 0x01],
  // Five lamps, and three bits that are not used
  ...[0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02],
  ...[0x95, 0x01, 0x75, 0x03, 0x91, 0x01],
  // Six keys
  ...[0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00],
  0xc0,
)

/** A USB keyboard with the boot protocol, lamps and idle rates. */
export class UsbKeyboard extends HidDevice {
  #reports: Uint8Array[] = []
  readonly #r = this.keeps(
    {
      version: 1,
      /** Usages of pressed keys. */
      down: [] as number[],
      reports: {
        save: (): number[][] => this.#reports.map((report) => [...report]),
        restore: (reports: readonly (readonly number[])[]): void =>
          void (this.#reports = reports.map((report) => Uint8Array.from(report))),
        reset: (): void => void (this.#reports = []),
      },
      leds: 0,
      hid: (): HidFunction => this.hid,
    },
    { settled: (): void => (this.#r.leds === this.#shown ? undefined : this.#setLeds(this.#r.leds)) },
  )
  /** The lamps that the host shows. */
  #shown = 0

  constructor({ name = 'usb-kbd', ...options }: HidOptions) {
    super('USB Keyboard', { ...options, name }, INTERVAL_MS, {
      reports: REPORT_DESCRIPTOR,
      boot: 1,
      current: () => this.#report(),
      take: () => this.#take(),
      output: ([leds = 0]) => this.#setLeds(leds),
    })
  }

  /** Takes key events while the host polls the keyboard; one report each. */
  input(events: readonly InputEvent[]): number {
    if (!this.isConfigured) return 0
    let taken = 0
    for (const event of events) {
      if (this.#reports.length >= MOST_REPORTS) break
      taken++
      if (event.kind === 'key') this.#press(event.usage, event.down)
    }
    if (this.#reports.length > 0) this.hid.changed()
    return taken
  }

  #press(usage: number, down: boolean): void {
    if (!Number.isInteger(usage) || usage < 4 || usage > 0xff) return
    if (this.#r.down.includes(usage) === down) return
    this.#r.down = down ? [...this.#r.down, usage] : this.#r.down.filter((key) => key !== usage)
    this.#reports.push(this.#report())
  }

  #report(): Uint8Array {
    const isModifier = (key: number): boolean => key >= FIRST_MODIFIER && key <= LAST_MODIFIER
    const modifiers = this.#r.down.filter(isModifier).reduce((bits, key) => bits | (1 << (key - FIRST_MODIFIER)), 0)
    const keys = this.#r.down.filter((key) => !isModifier(key))
    const report = new Uint8Array(REPORT_BYTES)
    report[0] = modifiers
    if (keys.length > MOST_KEYS) report.fill(ROLL_OVER, 2)
    else report.set(keys, 2)
    return report
  }

  #take(): Uint8Array | null {
    const report = this.#reports.shift() ?? null
    if (report !== null && this.#reports.length === 0) this.backend.ready()
    return report
  }

  #setLeds(leds: number): void {
    this.#r.leds = leds
    this.#shown = leds
    this.backend.setLeds?.({ numLock: (leds & 1) !== 0, capsLock: (leds & 2) !== 0, scrollLock: (leds & 4) !== 0 })
  }
}
