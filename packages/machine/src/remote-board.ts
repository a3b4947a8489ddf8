import type { EcamPlacement, ShadowRange } from '@retrap/devices'
import type { DomainServer } from '@retrap/hvm'
import { serveSharedDevices } from '@retrap/ioreq'
import type { InputBackend, InputEvent, InterruptLine } from '@retrap/device'
import type { DevicePlatform, DeviceServer, IoDispatch, SharedDeviceMemory } from '@retrap/ioreq'
import { createBoard } from './board.ts'
import type { Board, BoardDescription, BoardHooks, BoardInput } from './board.ts'
import type { BoardServerOptions, StartBoardServer } from './elsewhere/start.ts'
import { type InputHooks, InputRelay, RemoteInput } from './input/relay.ts'

/*
 * A board whose models run in another thread. What they say to the machine beside their requests goes in messages: a
 * kind (u8), and bytes.
 */
/** To the machine: number of a serial port (u8), and what the guest has sent on it. */
const TRANSMIT = 1
/** To the machine: a ShadowRange, as JSON. */
const SHADOW = 2
/** To the board: number of a serial port (u8), and bytes for the guest. */
const RECEIVE = 3
/** To the board: PCI device, pin and level of a function that lives elsewhere. */
const PIN = 4
/** To the board: hand over what is held back. */
const FLUSH = 5
/** To the machine: number of a serial port (u8), and how many bytes for the guest its UART has taken (u32). */
const TAKEN = 6
/** To the board: which device (u8), and events for it, as JSON. */
const INPUT = 7
/** To the machine: which device (u8), and how many events its model has taken (u8). */
const INPUT_TAKEN = 8
/** To the machine: the keyboard's lamps, as bits (u8). */
const LEDS = 9
/** To the machine: the kind of the pointer (u8). */
const POINTER = 10

const KEYBOARD = 0
const MOUSE = 1
const POINTERS = ['none', 'relative', 'absolute'] as const

/** To the machine: an EcamPlacement or null, as JSON. */
const ECAM = 11

/** To the board: the power button is pressed. To the machine: whether the guest has asked for its event (u8). */
const POWER_BUTTON = 12

/** To the machine: whether address line 20 works (u8). */
const A20 = 13

/** To the machine: what the guest has written to `etc/ramfb`. */
const RAMFB = 14

/** To the machine: the guest asks to sleep in S3. */
const SLEEP = 15

/** To the board: a key is pressed, which wakes the guest. To the machine, which sleeps: wake up. */
const WAKE = 16

/** To the machine: samples of the PC speaker, 16 bits each. */
const SPEAKER = 17

/**
 * The program of a thread in which a board's models run, until the machine ends them.
 *
 * @param memory - what the machine's thread has made the server with
 * @param options - `blockMs`: as of `serveSharedDevices`; 0 on a thread that may not block, such as a browser's main thread
 */
export function serveBoard(
  memory: SharedDeviceMemory,
  description: BoardDescription,
  options: { readonly blockMs?: number } = {},
): Promise<void> {
  let server: DeviceServer | undefined
  const post = (kind: number, bytes: Uint8Array): void => server?.post(message(kind, bytes))
  const relay = (device: number): InputRelay => new InputRelay(inputHooks(device, post))
  const input = { keyboard: relay(KEYBOARD), mouse: relay(MOUSE) }
  const hooks: BoardHooks = {
    transmit: (port, bytes) => post(TRANSMIT, message(port, bytes)),
    taken: (port, count) => post(TAKEN, message(port, new Uint8Array(Uint32Array.of(count).buffer))),
    shadow: (range) => post(SHADOW, new TextEncoder().encode(JSON.stringify(range))),
    a20: (works) => post(A20, Uint8Array.of(works ? 1 : 0)),
    // A board in another thread has no system-management mode: an SMI comes right after the instruction that causes it.
    smram: () => undefined,
    smi: () => undefined,
    speaker: (samples) => post(SPEAKER, new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength)),
    sleep: () => post(SLEEP, NOTHING),
    wake: () => post(WAKE, NOTHING),
    ramfb: (configuration) => post(RAMFB, configuration),
    ecam: (placement) => post(ECAM, new TextEncoder().encode(JSON.stringify(placement))),
  }
  const board = createBoard(description, hooks, input)
  const pins = new Map<number, InterruptLine>()
  return serveSharedDevices(
    memory,
    (given) => {
      server = given
      for (const model of board.models) given.attach(model)
    },
    {
      ...options,
      name: 'board',
      pciInterrupt: (device, pin) => board.isaBridge.interruptInput(device, pin),
      onMessage: (bytes) => {
        if (bytes[0] === POWER_BUTTON) post(POWER_BUTTON, Uint8Array.of(board.pressPowerButton() ? 1 : 0))
        else receive(board, input, pins, bytes)
      },
    },
  )
}

function message(kind: number, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(1 + bytes.length)
  out[0] = kind
  out.set(bytes, 1)
  return out
}

const NOTHING = new Uint8Array(0)

const json = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes.slice(1)))

function inputHooks(device: number, post: (kind: number, bytes: Uint8Array) => void): InputHooks {
  return {
    taken: (count) => post(INPUT_TAKEN, Uint8Array.of(device, count)),
    setLeds: ({ numLock, capsLock, scrollLock }) =>
      post(LEDS, Uint8Array.of((numLock ? 1 : 0) | (capsLock ? 2 : 0) | (scrollLock ? 4 : 0))),
    setPointer: (kind) => post(POINTER, Uint8Array.of(POINTERS.indexOf(kind))),
  }
}

type Relays = Readonly<Record<keyof BoardInput, InputRelay>>

function receive(board: Board, input: Relays, pins: Map<number, InterruptLine>, bytes: Uint8Array): void {
  const [kind, device = 0, pin = 0, level = 0] = bytes
  if (kind === RECEIVE) board.serialStreams[device]?.receive(bytes.slice(2))
  else if (kind === INPUT) {
    const events = JSON.parse(new TextDecoder().decode(bytes.slice(2))) as InputEvent[]
    const relay = device === KEYBOARD ? input.keyboard : input.mouse
    relay.receive(events)
  } else if (kind === WAKE) board.wake()
  else if (kind === FLUSH) for (const uart of board.uarts) uart.flush()
  else if (kind === PIN) {
    const number = device * 4 + pin - 1
    const line = pins.get(number) ?? board.isaBridge.interruptInput(device, pin)
    pins.set(number, line)
    line.set(level !== 0)
  }
}

function ledsOf(bits: number): Parameters<InputHooks['setLeds']>[0] {
  return { numLock: (bits & 1) !== 0, capsLock: (bits & 2) !== 0, scrollLock: (bits & 4) !== 0 }
}

/** The machine's end of a board in another thread. */
export class RemoteBoard {
  readonly server: DomainServer
  readonly #input: readonly [keyboard: RemoteInput, mouse: RemoteInput]
  /** Wait for the board's answers. */
  readonly #pressed: ((listens: boolean) => void)[] = []

  constructor(
    start: StartBoardServer,
    dispatch: IoDispatch,
    platform: DevicePlatform,
    options: Omit<BoardServerOptions, 'name' | 'onMessage'>,
    hooks: BoardHooks,
    { keyboard, mouse }: BoardInput,
  ) {
    this.server = start(dispatch, platform, {
      ...options,
      name: 'board',
      onMessage: (bytes) => {
        if (bytes[0] === TRANSMIT) hooks.transmit(bytes[1]!, bytes.slice(2))
        else if (bytes[0] === TAKEN) hooks.taken(bytes[1]!, new Uint32Array(bytes.slice(2).buffer)[0]!)
        else if (bytes[0] === INPUT_TAKEN) this.#input[bytes[1]!]?.taken(bytes[2]!)
        else if (bytes[0] === LEDS) keyboard.setLeds?.(ledsOf(bytes[1]!))
        else if (bytes[0] === POINTER) mouse.setPointer?.(POINTERS[bytes[1]!]!)
        else if (bytes[0] === SHADOW) hooks.shadow(json(bytes) as ShadowRange)
        else if (bytes[0] === A20) hooks.a20(bytes[1] !== 0)
        else if (bytes[0] === SLEEP) hooks.sleep()
        else if (bytes[0] === WAKE) hooks.wake()
        else if (bytes[0] === SPEAKER) hooks.speaker(new Int16Array(bytes.slice(1).buffer))
        else if (bytes[0] === RAMFB) hooks.ramfb(bytes.slice(1))
        else if (bytes[0] === POWER_BUTTON) this.#pressed.shift()?.(bytes[1] !== 0)
        else if (bytes[0] === ECAM) hooks.ecam(json(bytes) as EcamPlacement | null)
      },
    })
    const remote = (backend: InputBackend, device: number): RemoteInput =>
      new RemoteInput(backend, (events) => {
        const text = new TextEncoder().encode(JSON.stringify(events))
        this.server.remote.post(message(INPUT, message(device, text)))
      })
    this.#input = [remote(keyboard, KEYBOARD), remote(mouse, MOUSE)]
  }

  #post(kind: number, ...bytes: readonly number[]): void {
    this.server.remote.post(message(kind, Uint8Array.from(bytes)))
  }

  receive(port: number, bytes: Uint8Array): void {
    this.server.remote.post(message(RECEIVE, message(port, bytes)))
  }

  /** @returns whether the guest has asked for the button's event */
  pressPowerButton(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#pressed.push(resolve)
      this.#post(POWER_BUTTON)
    })
  }

  /** Wakes a machine that sleeps, as a key does. */
  wake(): void {
    this.#post(WAKE)
  }

  /** The wire of an interrupt pin of a function that is not the board's. */
  interruptInput(device: number, pin: number): InterruptLine {
    const set = (level: boolean): void => this.#post(PIN, device, pin, level ? 1 : 0)
    return {
      set,
      pulse: () => {
        set(true)
        set(false)
      },
    }
  }

  /** Settles when what the board held back has arrived, or the board has gone. */
  async flush(): Promise<void> {
    this.#post(FLUSH)
    await this.server.remote.settle().catch(() => {})
  }
}
