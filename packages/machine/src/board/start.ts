import type { BlockProperties } from '@retrap/device'
import type { DomainServer } from '@retrap/hvm'
import type { DevicePlatform } from '@retrap/device-hosting'
import type { IoDispatch } from '@retrap/ioreq'
import type { BoardDescription } from './board.ts'

/** The facts that a Worker needs to make the controllers of a machine: plain data, to be posted. */
export interface ControllerDescription {
  /** The controllers, without media and networks. */
  readonly controllers: unknown
  /** The properties of each drive's medium; null: no medium. */
  readonly media: readonly ({ readonly properties: BlockProperties; readonly hasTray: boolean } | null)[]
  /** Saved state of each network, in order. */
  readonly networks: readonly unknown[]
  /** Places of the controllers, in the order in which they ask. */
  readonly places: readonly {
    readonly device: number
    readonly root: number
    readonly label: string
    readonly mmio?: { readonly base: number; readonly irq: number }
  }[]
  /** The place of the SATA controller; default that of a `q35`. */
  readonly sata?: { readonly device: number; readonly function: number } | undefined
}

/** The options of the server of a machine's part whose models run in another thread. */
export interface PartServerOptions {
  /** Names the server. */
  readonly name: string
  /** Whether the machine's clock runs on by itself. */
  readonly realTime: boolean
  /** Receives the models' messages other than requests; pass the bytes that the server posts. */
  readonly onMessage: (bytes: Uint8Array) => void
}

/** Starts the thread that a part's models run in, and makes a server of the domain of it. */
export type StartPartServer<Options extends PartServerOptions> = (
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: Options,
) => DomainServer

/** The options of a board's server; see `PcOptions.devicePlacement`. */
export interface BoardServerOptions extends PartServerOptions {
  /** The argument of `serveBoard` in the other thread. */
  readonly board: BoardDescription
}

/** Starts the thread that a board's models run in, and makes a server of the domain of it. */
export type StartBoardServer = StartPartServer<BoardServerOptions>

/** The options of the server of a machine's controllers; see `PcOptions.controllerPlacement`. */
export interface ControllerServerOptions extends PartServerOptions {
  /** The argument of `serveControllers` in the other thread. */
  readonly controllers: ControllerDescription
}

/** Starts the thread that controllers run in, and makes a server of the domain of it. */
export type StartControllerServer = StartPartServer<ControllerServerOptions>
