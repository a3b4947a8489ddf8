import type { EcamPlacement, ShadowRange } from '@retrap/devices'
import type { DomainServer } from '@retrap/hvm'
import type { InputBackend, InterruptLine } from '@retrap/device'
import { SharedLines } from '@retrap/device/host'
import type { BoardHooks, BoardInput } from './board.ts'
import * as boardMessages from './board-messages.ts'
import { message } from './board-messages.ts'
import type { PartServerOptions } from './start.ts'
import { type InputHooks, RemoteInput } from '../back-ends/input.ts'

/** Interrupt pins of a PCI device. */
const PINS = 4

const json = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes.slice(1)))

function ledsOf(bits: number): Parameters<InputHooks['setLeds']>[0] {
  return { numLock: (bits & 1) !== 0, capsLock: (bits & 2) !== 0, scrollLock: (bits & 4) !== 0 }
}

/** The callbacks that a board invokes on its machine; a board may lack some of them. */
type RemoteHooks = Pick<BoardHooks, 'transmit' | 'taken' | 'ramfb'> & Partial<BoardHooks>

/** The machine's end of a board in another thread: a `PlacedBoard`. */
export class RemoteBoard {
  readonly server: DomainServer
  /** The keyboard's and the mouse's input. */
  readonly #input: readonly RemoteInput[]
  /** Wait for the board's answers. */
  readonly #pressed: ((listens: boolean) => void)[] = []
  readonly #pins = new SharedLines((input, level) =>
    this.#post(boardMessages.PIN, Math.floor(input / PINS), (input % PINS) + 1, level ? 1 : 0),
  )

  /**
   * @param start - starts the board's thread
   * @param input - the board's keyboard and mouse; absent: none
   */
  constructor(
    start: (part: PartServerOptions) => DomainServer,
    realTime: boolean,
    hooks: RemoteHooks,
    input?: BoardInput,
  ) {
    this.server = start({
      name: 'board',
      realTime,
      onMessage: (bytes) => {
        if (bytes[0] === boardMessages.TRANSMIT) hooks.transmit(bytes[1]!, bytes.slice(2))
        else if (bytes[0] === boardMessages.TAKEN) hooks.taken(bytes[1]!, new Uint32Array(bytes.slice(2).buffer)[0]!)
        else if (bytes[0] === boardMessages.INPUT_TAKEN) this.#input[bytes[1]!]?.taken(bytes[2]!)
        else if (bytes[0] === boardMessages.LEDS) input?.keyboard.setLeds?.(ledsOf(bytes[1]!))
        else if (bytes[0] === boardMessages.POINTER) input?.mouse.setPointer?.(boardMessages.POINTERS[bytes[1]!]!)
        else if (bytes[0] === boardMessages.SHADOW) hooks.shadow?.(json(bytes) as ShadowRange)
        else if (bytes[0] === boardMessages.A20) hooks.a20?.(bytes[1] !== 0)
        else if (bytes[0] === boardMessages.SLEEP) hooks.sleep?.()
        else if (bytes[0] === boardMessages.WAKE) hooks.wake?.()
        else if (bytes[0] === boardMessages.SPEAKER) hooks.speaker?.(new Int16Array(bytes.slice(1).buffer))
        else if (bytes[0] === boardMessages.RAMFB) hooks.ramfb(bytes.slice(1))
        else if (bytes[0] === boardMessages.POWER_BUTTON || bytes[0] === boardMessages.SLEEP_BUTTON)
          this.#pressed.shift()?.(bytes[1] !== 0)
        else if (bytes[0] === boardMessages.ECAM) hooks.ecam?.(json(bytes) as EcamPlacement | null)
      },
    })
    const remote = (backend: InputBackend, device: number): RemoteInput =>
      new RemoteInput(backend, (bytes) => this.server.remote.post(message(boardMessages.INPUT, message(device, bytes))))
    this.#input =
      input === undefined
        ? []
        : [remote(input.keyboard, boardMessages.KEYBOARD), remote(input.mouse, boardMessages.MOUSE)]
  }

  #post(kind: number, ...bytes: readonly number[]): void {
    this.server.remote.post(message(kind, Uint8Array.from(bytes)))
  }

  receive(port: number, bytes: Uint8Array): void {
    this.server.remote.post(message(boardMessages.RECEIVE, message(port, bytes)))
  }

  /** Resolves when the models are ready. */
  get ready(): Promise<void> {
    return this.server.remote.ready
  }

  /** @returns whether the guest has asked for the button's event */
  pressPowerButton(): Promise<boolean> {
    return this.#press(boardMessages.POWER_BUTTON)
  }

  /** @returns whether the guest has asked for the button's event */
  pressSleepButton(): Promise<boolean> {
    return this.#press(boardMessages.SLEEP_BUTTON)
  }

  #press(button: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.#pressed.push(resolve)
      this.#post(button)
    })
  }

  /** Wakes a machine that sleeps, as a key does. */
  wake(): void {
    this.#post(boardMessages.WAKE)
  }

  /** A wire to an interrupt pin for a function that is not the board's: the levels of all wires to a pin are ORed. */
  interruptInput(device: number, pin: number): InterruptLine {
    return this.#pins.line(device * PINS + pin - 1)
  }

  /**
   * Resolves when the board's held output has arrived, or the board has ended.
   *
   * @param hasEnded - whether the machine has ended
   */
  async flush(hasEnded: boolean): Promise<void> {
    // Not in a replay that stops elsewhere: the recording would have a response without a request.
    if (this.server.remote.isRecorded && !hasEnded) return
    this.#post(boardMessages.FLUSH)
    await this.server.remote.settle().catch(() => {})
  }
}
