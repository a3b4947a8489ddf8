import {
  type BlockBackend,
  BlockError,
  type BlockProperties,
  type BlockRequest,
  type BlockTray,
  type BlockTrayClient,
  type BlockTrayState,
} from '@retrap/device'
import { drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'

/** The properties of a drive without a medium. */
export const NO_MEDIUM: BlockProperties = {
  bytes: 0,
  blockBytes: 512,
  physicalBlockBytes: 512,
  maximumBytes: 1 << 20,
  readOnly: true,
  discards: false,
}

/** Options for removing a medium. */
export interface MachineEjectOptions {
  /** Opens the tray even if the guest has locked it, as a paper clip does. Default false. */
  readonly force?: boolean | undefined
}

/** A drive whose medium can be exchanged while the machine runs. */
export interface MachineRemovableDrive {
  /** Name, for `pc.drive`. */
  readonly id: string
  /** The kind of media. */
  readonly kind: 'cdrom' | 'floppy'
  /** The medium; null: the drive is empty. */
  readonly medium: BlockBackend | null
  /** The tray is out. A medium that the guest has ejected lies in it until it is closed, or the medium is exchanged. */
  readonly isOpen: boolean
  /** The guest has locked the tray. */
  readonly isLocked: boolean
  /**
   * Puts a medium in, in the place of the present one, and closes the tray. Requests that the guest has made of the old medium fail:
   * nothing is answered from two media. Exchanges of a drive wait for each other.
   *
   * @returns the previous medium, once no request uses it any more
   * @throws MachineError `ERR_LOCKED` where the guest has locked the tray, which is notified of it; `ERR_OPTION` for a medium that the drive cannot take
   */
  insert(medium: BlockBackend, options?: MachineEjectOptions): Promise<BlockBackend | null>
  /**
   * Takes the medium out. The tray stays open.
   *
   * @returns the removed medium, once no request uses it any more; null: the drive was empty
   * @throws MachineError `ERR_LOCKED` if the guest has locked the tray; it gets the request
   */
  eject(options?: MachineEjectOptions): Promise<BlockBackend | null>
}

/** A drive's removable medium for its model: the inserted medium, or none. */
export class RemovableDrive implements MachineRemovableDrive, BlockBackend {
  readonly id: string
  readonly kind: 'cdrom' | 'floppy'
  readonly tray: BlockTray
  readonly #changed: () => void
  readonly #listeners = new Set<() => void>()
  /** Requests to the present medium. */
  #pending = new Set<Promise<void>>()
  #medium: BlockBackend | null
  #unwatch: (() => void) | undefined
  #hasLeft = false
  /** The end of the exchange requested last. */
  #last: Promise<void> | null = null
  #client: BlockTrayClient | null = null
  #state: BlockTrayState = { open: false, locked: false }

  /** @param changed - called when a medium came or went, after the drive's model */
  constructor({ id, kind, medium }: Pick<MachineRemovableDrive, 'id' | 'kind' | 'medium'>, changed: () => void) {
    this.id = id
    this.kind = kind
    this.#changed = changed
    this.#medium = medium
    this.#watch()
    this.tray = {
      connect: (client) => (this.#client = client),
      moved: (state) => (this.#state = state),
    }
  }

  get medium(): BlockBackend | null {
    return this.#medium
  }

  get isOpen(): boolean {
    return this.#state.open
  }

  get isLocked(): boolean {
    return this.#state.locked
  }

  insert(medium: BlockBackend, options: MachineEjectOptions = {}): Promise<BlockBackend | null> {
    return this.#inTurn(async () => {
      const why = this.#client?.refuses(medium.properties) ?? null
      if (why !== null) throw new MachineError('ERR_OPTION', `${this.id}: ${why}`)
      if (medium === this.#medium) throw new MachineError('ERR_OPTION', `${this.id}: the medium is in it already`)
      return this.#exchange(medium, options)
    })
  }

  eject(options: MachineEjectOptions = {}): Promise<BlockBackend | null> {
    return this.#inTurn(async () => (this.#medium === null ? null : this.#exchange(null, options)))
  }

  /** Runs an exchange after all earlier ones: a returned medium is no longer in use. */
  #inTurn<T>(exchange: () => Promise<T>): Promise<T> {
    const done = this.#last === null ? exchange() : this.#last.then(exchange)
    const end: Promise<void> = done.then(
      () => this.#ended(end),
      () => this.#ended(end),
    )
    this.#last = end
    return done
  }

  #ended(exchange: Promise<void>): void {
    if (this.#last === exchange) this.#last = null
  }

  async #exchange(medium: BlockBackend | null, { force = false }: MachineEjectOptions): Promise<BlockBackend | null> {
    const { open, locked } = this.#state
    if (locked && !open && !force) {
      this.#client?.ejectRequested()
      const what = 'the guest has locked the tray, and was asked to eject it; try again when it has, or use force'
      throw new MachineError('ERR_LOCKED', `${this.id}: ${what}`)
    }
    const [before, pending] = [this.#medium, this.#pending]
    this.#unwatch?.()
    this.#medium = medium
    this.#pending = new Set()
    this.#watch()
    this.#tell()
    await Promise.allSettled(pending)
    return before
  }

  /** Detaches the media after the machine's end: media may outlive the machine. */
  leave(): void {
    this.#hasLeft = true
    this.#unwatch?.()
  }

  #watch(): void {
    this.#unwatch = this.#hasLeft ? undefined : this.#medium?.onChange(() => this.#tell())
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
    this.#changed()
  }

  // ---- The medium ----

  get properties(): BlockProperties {
    return this.#medium?.properties ?? NO_MEDIUM
  }

  /** Makes a request of the medium that is in. A medium that is taken out meanwhile answers nothing. */
  async #ask(request: (medium: BlockBackend) => Promise<void>): Promise<void> {
    const [medium, pending] = [this.#medium, this.#pending]
    if (medium === null) throw new BlockError('ERR_NO_MEDIUM', `${this.id}: there is no medium`)
    const asked = request(medium)
    pending.add(asked)
    try {
      await asked
    } finally {
      pending.delete(asked)
    }
    if (pending !== this.#pending) throw new BlockError('ERR_NO_MEDIUM', `${this.id}: the medium was taken out`)
  }

  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask((medium) => medium.read(offset, into, request))
  }

  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask((medium) => medium.write(offset, from, request))
  }

  flush(request?: BlockRequest): Promise<void> {
    return this.#ask((medium) => medium.flush(request))
  }

  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#ask((medium) => medium.discard(offset, bytes, request))
  }

  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#ask((medium) => medium.writeZeroes(offset, bytes, request))
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

/** Whether a drive's medium can be exchanged. */
export const isRemovable = (drive: MachineDrive): boolean => drive.media === 'cdrom' || drive.interface === 'floppy'

/**
 * Makes the medium of each CD and floppy drive exchangeable.
 *
 * @param changed - called with each drive whose medium was changed
 * @throws MachineError `ERR_OPTION` for two drives of one name
 */
export function withTrays(
  drives: readonly MachineDrive[],
  changed: () => void,
): { readonly drives: readonly MachineDrive[]; readonly removable: readonly RemovableDrive[] } {
  const removable: RemovableDrive[] = []
  const floppies = drivesOf(drives, 'floppy')
  let cds = 0
  const all = drives.map((drive): MachineDrive => {
    if (!isRemovable(drive)) return drive
    const kind = drive.interface === 'floppy' ? 'floppy' : 'cdrom'
    const usual = kind === 'floppy' ? `floppy${drive.index ?? floppies.indexOf(drive)}` : `cd${cds++}`
    const medium = new RemovableDrive({ id: drive.id ?? usual, kind, medium: drive.medium }, changed)
    if (removable.some(({ id }) => id === medium.id))
      throw new MachineError('ERR_OPTION', `drives: two have the id '${medium.id}'`)
    removable.push(medium)
    return { ...drive, medium }
  })
  return { drives: all, removable }
}
