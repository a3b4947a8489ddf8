import type { ArmDomain } from '@retrap/hvm/arm'
import { type DeviceServer, serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import { FLUSH, message, POWER_BUTTON, RAMFB, RECEIVE, TAKEN, TRANSMIT } from '../board/board-messages.ts'
import type { PartServerOptions, StartPartServer } from '../board/start.ts'
import type { PlacedBoard } from '../board/placed-board.ts'
import { wallSeconds } from '../lifecycle/host.ts'
import type { CommonHooks } from '../machine/board.ts'
import { ramfbFile } from '../firmware/ramfb-file.ts'
import { RemoteBoard } from '../board/remote-board.ts'
import { FarStream } from '../back-ends/streams.ts'
import type { ArmFirmwareSettings } from './firmware-configuration.ts'
import type { ArmBoard } from './layout.ts'
import { type ArmBoardModels, createArmBoardModels } from './models.ts'

/** An Arm board's host bridge, UART, clock, GPIO and fw_cfg as plain data, so that they can be made in another thread. */
export interface ArmBoardDescription extends ArmBoard {
  /** Wall-clock time at power-on, seconds from 1970. */
  readonly epochSeconds: number
  /** Whether the wall clock is the host's: a machine that is restored later shows a later time. */
  readonly followsHost: boolean
  /** The settings for firmware. */
  readonly firmware: Omit<ArmFirmwareSettings, 'files'>
  /** Whether the board has a ramfb device, whose picture the guest places in RAM. */
  readonly ramfb: boolean
}

/** The options of an Arm board's server; see `ArmMachineOptions.devicePlacement`. */
export interface ArmBoardServerOptions extends PartServerOptions {
  /** The argument of `serveArmBoard` in the other thread. */
  readonly board: ArmBoardDescription
}

/** Starts the thread that a board's models run in, and makes a server of the domain of it. */
export type StartArmBoardServer = StartPartServer<ArmBoardServerOptions>

function createModels(
  { followsHost, firmware, ramfb, ...board }: ArmBoardDescription,
  hooks: CommonHooks,
): ArmBoardModels & { readonly stream: FarStream } {
  const stream = new FarStream(
    (bytes) => hooks.transmit(0, bytes),
    (count) => hooks.taken(0, count),
  )
  const files = ramfb && { files: ramfbFile((configuration) => hooks.ramfb(configuration)) }
  return {
    ...createArmBoardModels({
      ...board,
      ...(followsHost && { wallClock: wallSeconds }),
      serial: stream,
      firmware: { ...firmware, ...files },
    }),
    stream,
  }
}

/** Makes the models part of a domain, in this thread or in one of their own. */
export function placeArmBoard(
  domain: ArmDomain,
  board: ArmBoardDescription,
  placement: StartArmBoardServer | undefined,
  hooks: CommonHooks,
): PlacedBoard {
  if (placement !== undefined) {
    const remote = new RemoteBoard(
      (part) => placement(domain.dispatch, domain.platform, { ...part, board }),
      !domain.clock.deterministic,
      hooks,
    )
    domain.addServer(remote.server)
    // The bridge's wires have no state: interrupts of functions in this thread go by the domain's, which lead to the same lines.
    return remote
  }
  const here = createModels(board, hooks)
  domain.architecture.pciWire = (device, pin) => here.hostBridge.interruptInput(device, pin)
  for (const model of here.models) domain.attach(model)
  return {
    receive: (_port, bytes) => here.stream.receive(bytes),
    flush: async () => here.uart.flush(),
    pressPowerButton: () => here.pressPowerButton(),
    ready: Promise.resolve(),
  }
}

/**
 * The program of a thread in which the models run, until the machine ends them.
 *
 * @param memory - handles with which the machine's thread has made the server
 * @param options - `blockMs`: as of `serveSharedDevices`; 0 on a thread that may not block
 */
export function serveArmBoard(
  memory: SharedDeviceMemory,
  description: ArmBoardDescription,
  options: { readonly blockMs?: number } = {},
): Promise<void> {
  let server: DeviceServer | undefined
  const post = (kind: number, bytes: Uint8Array): void => server?.post(message(kind, bytes))
  const board = createModels(description, {
    transmit: (port, bytes) => post(TRANSMIT, message(port, bytes)),
    taken: (port, count) => post(TAKEN, message(port, new Uint8Array(Uint32Array.of(count).buffer))),
    ramfb: (configuration) => post(RAMFB, configuration),
  })
  return serveSharedDevices(
    memory,
    (given) => {
      server = given
      for (const model of board.models) given.attach(model)
    },
    {
      ...options,
      name: 'board',
      onMessage: (bytes) => {
        if (bytes[0] === RECEIVE) board.stream.receive(bytes.slice(2))
        else if (bytes[0] === FLUSH) board.uart.flush()
        else if (bytes[0] === POWER_BUTTON) post(POWER_BUTTON, Uint8Array.of(board.pressPowerButton() ? 1 : 0))
      },
    },
  )
}
