import { type EcamPlacement, FIRST_LINK_GSI } from '@retrap/devices'
import type { X86Domain } from '@retrap/hvm'
import type { EcamWindow } from '@retrap/ioreq'
import { createBoard, type CreateChipset, type BoardDescription, type BoardHooks, type BoardInput } from './board.ts'
import { CHIPSETS } from '../machine-type.ts'
import type { RemoteBoard } from './remote-board.ts'
import type { StartBoardServer } from './start.ts'

/** A board within a domain, with the methods that a machine calls. */
export interface PlacedBoard {
  /** Queues bytes for a serial port. */
  receive(port: number, bytes: Uint8Array): void
  /** Absent from boards in other threads. @returns bytes that the guest has sent by a serial port since power-on */
  sent?(port: number): number
  /**
   * Flushes the serial ports' output.
   *
   * @param hasEnded - true if the machine has ended. A recorded machine keeps a board in another thread until then
   */
  flush(hasEnded: boolean): Promise<void>
  /** @returns whether the guest has asked for the button's event */
  pressPowerButton(): boolean | Promise<boolean>
  /** Absent from boards that do not sleep. @returns whether the guest has asked for the button's event */
  pressSleepButton?(): boolean | Promise<boolean>
  /** Wakes a machine that sleeps, as a key does. */
  wake?(): void
  /** Resolves when the models are ready. */
  readonly ready: Promise<void>
}

/** The hooks that {@link placeBoard} supplies. */
type OwnHooks = 'a20' | 'ecam'

/** Loaders for the optional parts of boards. */
export interface BoardKinds {
  readonly createChipset: CreateChipset
  /** The class of boards in a thread of their own. */
  readonly Remote: typeof RemoteBoard | undefined
}

/** Makes a board's models part of a domain, in this thread or in one of their own. */
export function placeBoard(
  domain: X86Domain,
  description: BoardDescription,
  { createChipset, Remote }: BoardKinds,
  placement: 'inline' | 'deferred' | StartBoardServer | undefined,
  input: BoardInput,
  given: Omit<BoardHooks, OwnHooks>,
): PlacedBoard {
  const hooks: BoardHooks = {
    ...given,
    a20: (works) => (domain.a20 = works),
    ecam: (window) => domain.dispatch.setEcam(ecamWindows(window)),
  }
  if (typeof placement === 'function' && Remote !== undefined) {
    const remote = new Remote(
      (part) => placement(domain.dispatch, domain.platform, { ...part, board: description }),
      !domain.clock.deterministic,
      hooks,
      input,
    )
    const { linkOf } = CHIPSETS[description.machine]
    domain.pciInterrupt = (device, pin) => remote.interruptInput(device, pin)
    domain.ownPciInterrupt = (device, pin) => domain.interrupts.line(FIRST_LINK_GSI + linkOf(device, pin))
    domain.addServer(remote.server)
    return remote
  }
  const board = createBoard(description, createChipset, hooks, input)
  const { models, uarts, serialStreams, isaBridge, pressPowerButton, pressSleepButton, wake } = board
  domain.pciInterrupt = (device, pin) => isaBridge.interruptInput(device, pin)
  domain.ownPciInterrupt = domain.pciInterrupt
  for (const model of models) domain.attach(model)
  return {
    receive: (port, bytes) => serialStreams[port]?.receive(bytes),
    sent: (port) => uarts[port]?.sent ?? 0,
    flush: async () => {
      for (const uart of uarts) uart.flush()
    },
    pressPowerButton,
    pressSleepButton,
    wake,
    ready: Promise.resolve(),
  }
}

const ecamWindows = (placement: EcamPlacement | null): EcamWindow[] =>
  placement === null ? [] : [{ base: placement.base, firstBus: 0, lastBus: placement.buses - 1 }]
