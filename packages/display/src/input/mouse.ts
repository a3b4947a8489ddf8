import type { InputClient } from '@retrap/device'
import { DisplayError } from '../errors.ts'
import { InputQueue } from './input-queue.ts'

/** Names a mouse's button. */
export type MouseButton = 'left' | 'right' | 'middle' | 'back' | 'forward'

/** The guest's pointer: none, relative or absolute. */
export type PointerKind = 'none' | 'relative' | 'absolute'

const BUTTONS: readonly MouseButton[] = ['left', 'right', 'middle', 'back', 'forward']
const LARGEST_PLACE = 0x7fff

/**
 * The mouse of a virtual machine, as the person in front of it uses it.
 *
 * Movements wait until the guest takes them. The promises settle with true then, and with false where they are dropped.
 */
export class Mouse extends InputQueue {
  #pointer: PointerKind = 'none'

  /** The kind of pointer that the guest drives. */
  get pointer(): PointerKind {
    return this.#pointer
  }

  /** Moves by counts to the right and down. */
  move(dx: number, dy: number): Promise<boolean> {
    return this.queue([{ kind: 'relative', dx: whole('dx', dx), dy: whole('dy', dy) }])
  }

  /** Moves to a place: 0 to 32767 from left to right, and from top to bottom. For an absolute pointer only. */
  moveTo(x: number, y: number): Promise<boolean> {
    const place = (name: string, value: number): number => Math.min(Math.max(whole(name, value), 0), LARGEST_PLACE)
    return this.queue([{ kind: 'absolute', x: place('x', x), y: place('y', y) }])
  }

  /** Presses and holds a button. */
  down(button: MouseButton = 'left'): Promise<boolean> {
    return this.queue([{ kind: 'button', button: number(button), down: true }])
  }

  /** Releases a button. */
  up(button: MouseButton = 'left'): Promise<boolean> {
    return this.queue([{ kind: 'button', button: number(button), down: false }])
  }

  /** Presses and releases a button. */
  click(button: MouseButton = 'left'): Promise<boolean> {
    void this.down(button)
    return this.up(button)
  }

  /** Turns the wheel by this many detents: away from the user, and to the right, are positive. */
  wheel(vertical: number, horizontal = 0): Promise<boolean> {
    const detents = { vertical: whole('vertical', vertical), horizontal: whole('horizontal', horizontal) }
    return this.queue([{ kind: 'wheel', ...detents }])
  }

  /** See `InputQueue`; a new device's kind of pointer is not known yet. */
  override connect(client: InputClient): void {
    this.#pointer = 'none'
    super.connect(client)
  }

  /** Sets the kind of the guest's mouse: see `InputBackend`. */
  setPointer(kind: PointerKind): void {
    this.#pointer = kind
  }
}

/** Buttons are numbered from 1. @throws DisplayError `ERR_OPTION` */
function number(button: MouseButton): number {
  const at = BUTTONS.indexOf(button)
  if (at >= 0) return at + 1
  throw new DisplayError('ERR_OPTION', `mouse button '${String(button)}': expected one of ${BUTTONS.join(', ')}`)
}

function whole(name: string, value: number): number {
  if (Number.isInteger(value)) return value
  throw new DisplayError('ERR_OPTION', `${name} ${String(value)}: expected a whole number`)
}
