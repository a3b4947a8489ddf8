import type { InputClient, InputEvent } from '@retrap/device'
import { Keyboard, type KeyboardLayoutName } from '../../src/index.ts'

/** A keyboard's model with room for so many events at a time; it notes keys by usage: `+` down, `-` up. */
export class TestKeyboard implements InputClient {
  readonly keyboard: Keyboard
  noted = ''
  room = Infinity

  constructor(layout?: KeyboardLayoutName) {
    this.keyboard = new Keyboard(layout === undefined ? {} : { layout })
    this.keyboard.connect(this)
  }

  input(events: readonly InputEvent[]): number {
    const taken = Math.min(events.length, this.room)
    this.room -= taken
    for (const event of events.slice(0, taken)) {
      if (event.kind === 'key') this.noted += `${event.down ? '+' : '-'}${event.usage.toString(16)} `
    }
    return taken
  }
}
