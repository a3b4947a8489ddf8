import type { PacketBackend } from '@retrap/device'
import type { DriveArgument } from './drives.ts'
import type { MachineOptions } from './machine-contract.ts'
import type { NetdevArgument } from './netdevs.ts'
import { type FailedClose, OpenDrives } from './open-drives.ts'
import { OpenNetworks } from './open-networks.ts'
import { CardRoms, connectCards, type E1000Argument, type NetworkBoot } from './network-cards.ts'
import { connectVirtio, type VirtioArgument } from './pci-devices.ts'
import type { Chardevs } from './serial/chardevs.ts'
import { LocalShare } from './share/local-share.ts'
import type { SoundSettings } from './sound.ts'
import { WavFile } from './wav-file.ts'

/** What a session opens once, however often the guest resets its machine. */
export interface BackEndSettings extends Partial<SoundSettings> {
  /** Disks and CD drives; default none. */
  readonly drives?: readonly DriveArgument[]
  /** Networks; default none. */
  readonly networks?: readonly NetdevArgument[]
  /** Virtio devices beside the drives; networks and chardevs are named by id, directories by path. */
  readonly virtio?: readonly VirtioArgument[]
  /** Other network cards. */
  readonly cards?: readonly E1000Argument[]
  /** How machines boot; default without firmware. */
  readonly networkBoot?: NetworkBoot
}

/** Images and networks of a session. A machine that replaces one that was reset goes on with the same ones. */
export class BackEnds {
  readonly #drives: OpenDrives | null
  readonly #networks: OpenNetworks
  readonly #virtio: readonly VirtioArgument[]
  readonly #cards: readonly E1000Argument[]
  readonly #roms: CardRoms
  readonly #sound: SoundSettings['sound']
  readonly #wav: WavFile | undefined
  readonly #shares: ReadonlyMap<string, LocalShare>
  readonly #chardevs: Chardevs

  private constructor(
    drives: OpenDrives | null,
    networks: OpenNetworks,
    { virtio = [], cards = [], sound = [], audioFile }: BackEndSettings,
    roms: CardRoms,
    shares: ReadonlyMap<string, LocalShare>,
    chardevs: Chardevs,
  ) {
    this.#drives = drives
    this.#networks = networks
    this.#virtio = virtio
    this.#cards = cards
    this.#roms = roms
    this.#sound = sound
    this.#wav = audioFile === undefined ? undefined : new WavFile(audioFile)
    this.#shares = shares
    this.#chardevs = chardevs
  }

  /**
   * @param chardevs - open ones; their opener closes them
   * @throws CliError `ERR_INPUT`, `ERR_USAGE`; ImageError; NetworkError
   */
  static async open(settings: BackEndSettings, chardevs: Chardevs): Promise<BackEnds> {
    const { drives = [], networks = [], virtio = [], cards = [], networkBoot } = settings
    const all = [
      ...virtio.flatMap((one) => (one.kind === 'net' ? [['virtio', one] as const] : [])),
      ...cards.map((one) => ['e1000', one] as const),
    ]
    const roms = await CardRoms.open(all, networkBoot ?? { firmware: 'none', wanted: false })
    const images = drives.length > 0 ? await OpenDrives.open(drives) : null
    const shares = new Map<string, LocalShare>()
    let opened: OpenNetworks | undefined
    try {
      for (const one of virtio) {
        if (one.kind === 'share' && !shares.has(one.path)) shares.set(one.path, new LocalShare(one.path))
      }
      opened = await OpenNetworks.open(networks)
      return new BackEnds(images, opened, settings, roms, shares, chardevs)
    } catch (error) {
      opened?.close()
      await Promise.all([...shares.values()].map((share) => share.close()))
      await images?.close()
      throw error
    }
  }

  /** Images; null: there are none. */
  get images(): OpenDrives | null {
    return this.#drives
  }

  /** What a new machine is given. What an earlier one has left behind must not overtake what this one does. */
  async forMachine(): Promise<
    Pick<MachineOptions, 'drives' | 'flash' | 'virtio' | 'networkCards' | 'sound' | 'speaker'>
  > {
    await this.#drives?.idle()
    const { drives = [], flash = [] } = this.#drives ?? {}
    await Promise.all([...this.#shares.values()].map((share) => share.renew()))
    const plug = (id: string): PacketBackend => this.#networks.plug(id)
    const virtio = connectVirtio(this.#virtio, {
      plug,
      roms: this.#roms,
      share: (path) => this.#shares.get(path)!,
      stream: (id) => this.#chardevs.plug(id),
    })
    const networkCards = connectCards(this.#cards, plug, this.#roms)
    const sound = this.#sound.map((device) => ({ ...device, audio: this.#wav }))
    return {
      ...(drives.length > 0 && { drives }),
      ...(flash.length > 0 && { flash }),
      ...(virtio.length > 0 && { virtio }),
      ...(networkCards.length > 0 && { networkCards }),
      ...(sound.length > 0 && { sound }),
      ...(this.#wav !== undefined && { speaker: this.#wav }),
    }
  }

  /** Ends all connections, writes what is left, and closes every file. @returns the files for which this has failed */
  async close(): Promise<readonly FailedClose[]> {
    await Promise.all([...this.#shares.values()].map((share) => share.close()))
    return [...this.#networks.close(), ...this.#closeSound(), ...((await this.#drives?.close()) ?? [])]
  }

  #closeSound(): readonly FailedClose[] {
    try {
      this.#wav?.close()
      return []
    } catch (error) {
      return [{ path: this.#wav!.path, error }]
    }
  }
}
