import type { Keyboard } from '../input/keyboard.ts'
import type { Mouse, MouseButton } from '../input/mouse.ts'
import { keysymUsage, scanCodeUsage } from './client-keys.ts'

/** A guest that takes nothing keeps no more than these; a client's keys and movements are dropped then. */
const MOST_WAITING = 256
/** Bits of a pointer event's mask, from bit 0; the wheel has bits 3 to 6 (RFC 6143, section 7.5.5). */
const BUTTONS: readonly (MouseButton | null)[] = ['left', 'middle', 'right', null, null, null, null, 'back', 'forward']
const WHEEL: readonly (readonly [bit: number, vertical: number, horizontal: number])[] = [
  [3, 1, 0],
  [4, -1, 0],
  [5, 0, -1],
  [6, 0, 1],
]
const LARGEST_PLACE = 0x7fff
/** No movement, in a pointer event with movements (QEMU's pointer motion change). */
const NO_MOVEMENT = 0x7fff

/** Keyboard and mouse of one client. */
export class ClientInput {
  readonly #keyboard: Keyboard
  readonly #mouse: Mouse
  readonly #held = new Set<number>()
  #mask = 0
  /** The guest's presumed position of the client's pointer; null: unknown. */
  #place: { readonly x: number; readonly y: number } | null = null

  constructor(keyboard: Keyboard, mouse: Mouse) {
    this.#keyboard = keyboard
    this.#mouse = mouse
  }

  keysym(keysym: number, down: boolean): void {
    this.#key(keysymUsage(keysym, this.#keyboard.layout), down)
  }

  /** Handles a key by its scan code, or by its keysym if the code is unknown. */
  scanCode(code: number, keysym: number, down: boolean): void {
    this.#key(scanCodeUsage(code) ?? keysymUsage(keysym, this.#keyboard.layout), down)
  }

  #key(usage: number | undefined, down: boolean): void {
    if (usage === undefined || this.#held.has(usage) === down) return
    if (down) {
      if (this.#keyboard.waiting > MOST_WAITING) return
      this.#held.add(usage)
    } else this.#held.delete(usage)
    // A held key is released regardless of waiting events: there are at most as many as keys.
    void this.#keyboard.send(usage, down)
  }

  /** @param relative - whether `x` and `y` are movements */
  pointer(mask: number, x: number, y: number, width: number, height: number, relative: boolean): void {
    // A dropped event becomes part of the event after it: positions and buttons are compared with the last event sent.
    if (this.#mouse.waiting > MOST_WAITING) return
    if (relative) this.#move(x - NO_MOVEMENT, y - NO_MOVEMENT)
    else this.#moveTo(Math.min(x, width - 1), Math.min(y, height - 1), width, height)
    const changed = mask ^ this.#mask
    this.#mask = mask
    for (const [bit, button] of BUTTONS.entries()) {
      if (button === null || ((changed >> bit) & 1) === 0) continue
      void ((mask >> bit) & 1 ? this.#mouse.down(button) : this.#mouse.up(button))
    }
    for (const [bit, vertical, horizontal] of WHEEL) {
      if ((((changed & mask) >> bit) & 1) !== 0) void this.#mouse.wheel(vertical, horizontal)
    }
  }

  #move(dx: number, dy: number): void {
    this.#place = null
    if (dx !== 0 || dy !== 0) void this.#mouse.move(dx, dy)
  }

  #moveTo(x: number, y: number, width: number, height: number): void {
    const before = this.#place
    this.#place = { x, y }
    if (before?.x === x && before.y === y) return
    if (this.#mouse.pointer === 'absolute') {
      const scale = (at: number, size: number): number => Math.round((at * LARGEST_PLACE) / Math.max(1, size - 1))
      void this.#mouse.moveTo(scale(x, width), scale(y, height))
    } else if (before !== null) void this.#mouse.move(x - before.x, y - before.y)
  }

  /** Releases all keys and buttons that the client holds. */
  release(): void {
    for (const usage of this.#held) void this.#keyboard.send(usage, false)
    this.#held.clear()
    for (const [bit, button] of BUTTONS.entries()) {
      if (button !== null && ((this.#mask >> bit) & 1) !== 0) void this.#mouse.up(button)
    }
    this.#mask = 0
  }
}
