import { DisplayError, Keyboard, type KeyboardLayoutName, type KeyName, Mouse } from '@retrap/display'
import type { KeyChange, PointerChange } from '../protocol.ts'

/** Largest coordinate of absolute pointers. */
const LARGEST_PLACE = 0x7fff

/** Keyboard and mouse of a machine, for a page. They survive a reset of the machine. */
export class GuestInput {
  readonly keyboard: Keyboard
  readonly mouse: Mouse = new Mouse()
  readonly #pointerChanged: (pointer: Mouse['pointer']) => void
  #pointer: Mouse['pointer'] = 'none'

  /** @param pointerChanged - called with the new kind of the guest's pointer, when the page's has been moved */
  constructor(layout: KeyboardLayoutName, pointerChanged: (pointer: Mouse['pointer']) => void) {
    this.keyboard = new Keyboard({ layout })
    this.#pointerChanged = pointerChanged
  }

  /** Presses and releases keys. */
  pressKeys(keys: readonly KeyChange[]): void {
    for (const { code, down } of keys) {
      try {
        if (down) void this.keyboard.down(code as KeyName)
        else void this.keyboard.up(code as KeyName)
      } catch (error) {
        // A key of the page's keyboard that no PC has.
        if (!(error instanceof DisplayError)) throw error
      }
    }
  }

  /** Moves the mouse, and presses its buttons. */
  movePointer(events: readonly PointerChange[]): void {
    const isAbsolute = this.mouse.pointer === 'absolute'
    for (const event of events) {
      if (event.kind === 'wheel') void this.mouse.wheel(event.vertical)
      else if (event.kind === 'button') void this.mouse[event.down ? 'down' : 'up'](event.button)
      else if (isAbsolute)
        void this.mouse.moveTo(Math.round(event.x * LARGEST_PLACE), Math.round(event.y * LARGEST_PLACE))
      else if (event.dx !== 0 || event.dy !== 0) void this.mouse.move(Math.round(event.dx), Math.round(event.dy))
    }
    if (this.#pointer === this.mouse.pointer) return
    this.#pointer = this.mouse.pointer
    this.#pointerChanged(this.#pointer)
  }
}

/** The way of all input of a page to its machine, in order. Input waits while the machine is replaced: the next one gets it. */
export class InputRoute {
  #holds = 0
  #waiting: (() => void)[] = []

  /** @param input - passes input to the present machine */
  give(input: () => void): void {
    if (this.#holds > 0) this.#waiting.push(input)
    else input()
  }

  /** Holds input back. @returns a function that releases it, to be called once */
  hold(): () => void {
    this.#holds++
    return () => {
      if (--this.#holds === 0) for (const input of this.#waiting.splice(0)) input()
    }
  }

  /** Has input wait for the end of an action. */
  async during<T>(action: () => Promise<T>): Promise<T> {
    const release = this.hold()
    try {
      return await action()
    } finally {
      release()
    }
  }
}
