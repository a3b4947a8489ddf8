import { type DeviceServer, serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import type { InterruptLine } from '@retrap/device'
import { type Board, type BoardDescription, type BoardHooks, type BoardInput, createBoard } from './board.ts'
import { loadChipset } from './chipsets.ts'
import * as boardMessages from './board-messages.ts'
import { message } from './board-messages.ts'
import { type InputHooks, InputRelay } from '../back-ends/input.ts'

/**
 * The program of a thread in which a board's models run, until the machine ends them.
 *
 * @param memory - handles with which the machine's thread has made the server
 * @param options - `blockMs`: as of `serveSharedDevices`; 0 on a thread that may not block, such as a browser's main thread
 */
export async function serveBoard(
  memory: SharedDeviceMemory,
  description: BoardDescription,
  options: { readonly blockMs?: number } = {},
): Promise<void> {
  let server: DeviceServer | undefined
  const post = (kind: number, bytes: Uint8Array): void => server?.post(message(kind, bytes))
  const relay = (device: number): InputRelay => new InputRelay(inputHooks(device, post))
  const input = { keyboard: relay(boardMessages.KEYBOARD), mouse: relay(boardMessages.MOUSE) }
  const hooks: BoardHooks = {
    transmit: (port, bytes) => post(boardMessages.TRANSMIT, message(port, bytes)),
    taken: (port, count) => post(boardMessages.TAKEN, message(port, new Uint8Array(Uint32Array.of(count).buffer))),
    shadow: (range) => post(boardMessages.SHADOW, new TextEncoder().encode(JSON.stringify(range))),
    a20: (works) => post(boardMessages.A20, Uint8Array.of(works ? 1 : 0)),
    speaker: (samples) =>
      post(boardMessages.SPEAKER, new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength)),
    sleep: () => post(boardMessages.SLEEP, NOTHING),
    wake: () => post(boardMessages.WAKE, NOTHING),
    ramfb: (configuration) => post(boardMessages.RAMFB, configuration),
    ecam: (placement) => post(boardMessages.ECAM, new TextEncoder().encode(JSON.stringify(placement))),
  }
  const board = createBoard(description, await loadChipset(description), hooks, input)
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
        if (bytes[0] === boardMessages.POWER_BUTTON)
          post(boardMessages.POWER_BUTTON, Uint8Array.of(board.pressPowerButton() ? 1 : 0))
        else if (bytes[0] === boardMessages.SLEEP_BUTTON)
          post(boardMessages.SLEEP_BUTTON, Uint8Array.of(board.pressSleepButton() ? 1 : 0))
        else receive(board, input, pins, bytes)
      },
    },
  )
}

const NOTHING = new Uint8Array(0)

function inputHooks(device: number, post: (kind: number, bytes: Uint8Array) => void): InputHooks {
  return {
    taken: (count) => post(boardMessages.INPUT_TAKEN, Uint8Array.of(device, count)),
    setLeds: ({ numLock, capsLock, scrollLock }) =>
      post(boardMessages.LEDS, Uint8Array.of((numLock ? 1 : 0) | (capsLock ? 2 : 0) | (scrollLock ? 4 : 0))),
    setPointer: (kind) => post(boardMessages.POINTER, Uint8Array.of(boardMessages.POINTERS.indexOf(kind))),
  }
}

type Relays = Readonly<Record<keyof BoardInput, InputRelay>>

function receive(board: Board, input: Relays, pins: Map<number, InterruptLine>, bytes: Uint8Array): void {
  const [kind, device = 0, pin = 0, level = 0] = bytes
  if (kind === boardMessages.RECEIVE) board.serialStreams[device]?.receive(bytes.slice(2))
  else if (kind === boardMessages.INPUT) {
    const relay = device === boardMessages.KEYBOARD ? input.keyboard : input.mouse
    relay.receive(bytes.slice(2))
  } else if (kind === boardMessages.WAKE) board.wake()
  else if (kind === boardMessages.FLUSH) for (const uart of board.uarts) uart.flush()
  else if (kind === boardMessages.PIN) {
    const number = device * 4 + pin - 1
    const line = pins.get(number) ?? board.isaBridge.interruptInput(device, pin)
    pins.set(number, line)
    line.set(level !== 0)
  }
}
