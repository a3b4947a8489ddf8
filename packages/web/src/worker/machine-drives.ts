import type { Pc, MachineDrive } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { WebError } from '../errors.ts'
import type { SentOptions, SentSource } from '../protocol.ts'
import type { OpenMedium } from './media.ts'
import type { NamedMedium } from './read-snapshot.ts'
import type { SourceListener } from './sources.ts'

/** Opens a medium. Machines without drives do not load the module. */
const openMedium: OpenMedium = async (...given) => (await import('./media.ts')).openMedium(...given)

/** The drives of a machine, with their media. They survive a reset of the machine. */
export class MachineDrives {
  readonly #drives: MachineDrive[] | null
  readonly #listener: SourceListener

  private constructor(drives: MachineDrive[] | null, listener: SourceListener) {
    this.#drives = drives
    this.#listener = listener
  }

  /** Opens all media. @throws WebError `ERR_SOURCE` */
  static async open({ drives }: SentOptions, listener: SourceListener): Promise<MachineDrives> {
    if (drives === null) return new MachineDrives(null, listener)
    const media = await Promise.all(
      drives.map(async ({ source, ...drive }) => (source === null ? null : openMedium(drive, source, listener))),
    )
    return new MachineDrives(
      drives.map(({ id, media: kind, interface: way }, i) => ({ id, media: kind, interface: way, medium: media[i]! })),
      listener,
    )
  }

  /** Returns drives of a recording, without their media. */
  static ofRecording(drives: readonly MachineDrive[] | null, listener: SourceListener): MachineDrives {
    return new MachineDrives(drives && [...drives], listener)
  }

  /** The drives as machine options; null if the options name none. */
  get options(): readonly MachineDrive[] | null {
    return this.#drives
  }

  /** The media in the drives now. */
  get media(): NamedMedium[] {
    return (this.#drives ?? []).map(({ id, medium }, i) => [id ?? `disk${i}`, medium as NamedMedium[1]])
  }

  /** Puts a medium into a drive of this machine, or takes it out with null. @throws WebError */
  async insert({ removableDrives }: Pc | ArmMachine, id: string, source: SentSource | null): Promise<void> {
    const drive = removableDrives.find((one) => one.id === id)
    if (drive === undefined) {
      const there = removableDrives.map((one) => one.id).join(', ') || 'none'
      throw new WebError('ERR_OPTION', `drive '${id}': drives with a medium to exchange are: ${there}`)
    }
    const medium =
      source === null
        ? null
        : await openMedium({ id, media: drive.kind === 'cdrom' ? 'cdrom' : 'disk' }, source, this.#listener)
    let old: unknown
    try {
      old = await (medium === null ? drive.eject() : drive.insert(medium))
    } catch (error) {
      await medium?.close()
      throw error
    }
    const at = this.#drives?.findIndex((one) => one.id === id) ?? -1
    if (at >= 0) this.#drives![at] = { ...this.#drives![at]!, medium: drive.medium }
    await (old as { close?(): Promise<void> } | null)?.close?.()
  }
}
