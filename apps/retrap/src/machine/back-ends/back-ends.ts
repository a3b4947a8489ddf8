import type { DeviceModel } from '@retrap/device'
import type { MachineNetworkCard, MachinePluggable, MachineSoundDevice, MachineVirtioDevice } from '@retrap/machine'
import { diskOf } from '../devices/disk-devices.ts'
import type { DriveArgument } from '../drives/drives.ts'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { NetdevArgument } from '../network/netdevs.ts'
import { type FailedClose, OpenDrives } from '../drives/open-drives.ts'
import { OpenNetworks } from '../network/open-networks.ts'
import {
  type CardArgument,
  CardRoms,
  connectCards,
  type E1000Argument,
  type NetworkBoot,
} from '../devices/network-cards.ts'
import { type DeviceModule, namesModule, prepareModule } from '../devices/device-modules.ts'
import {
  checkedProperties,
  connectVirtio,
  e1000Cards,
  isDiskDevice,
  type VirtioArgument,
  virtioDevices,
} from '../devices/pci-devices.ts'
import { UnixVsock } from '@retrap/virtio/node'
import type { Chardevs } from '../serial/chardevs.ts'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'
import { listSound, type SoundSettings, WavFile } from '../devices/sound.ts'
import { type DeviceArgument, usage } from '../../options/values.ts'

/** The back ends that a session opens once, however often the guest resets its machine. */
export interface BackEndSettings extends Partial<SoundSettings> {
  /** Disks and CD drives; default none. */
  readonly drives?: readonly DriveArgument[]
  /** Networks; default none. */
  readonly networks?: readonly NetdevArgument[]
  /** Guests do not reach the host's 127.0.0.1 by user networks, whatever their options say. */
  readonly closesLoopback?: boolean
  /** Whether networks are disconnected: a replay gets their input from the recording. Default false. */
  readonly isReplay?: boolean
  /** Whether another process still has the images, and hands them over later. Default false. */
  readonly isIncoming?: boolean
  /** Virtio devices beside the drives; networks and chardevs are named by id, directories by path. */
  readonly virtio?: readonly VirtioArgument[]
  /** Other network cards. */
  readonly cards?: readonly E1000Argument[]
  /** Modules with models of the user's own behind root ports. */
  readonly modules?: readonly DeviceArgument[]
  /** How network cards boot; default without firmware. */
  readonly networkBoot?: NetworkBoot
}

/** A hot-plugged card is not present when firmware runs. */
const WITHOUT_FIRMWARE: NetworkBoot = { firmware: 'none', wanted: false }

const romsOf = (
  virtio: readonly VirtioArgument[],
  cards: readonly E1000Argument[],
): readonly (readonly ['e1000' | 'virtio', CardArgument])[] => [
  ...virtio.flatMap((one) => (one.kind === 'net' ? [['virtio', one] as const] : [])),
  ...cards.map((one) => ['e1000', one] as const),
]

/** Images and networks of a session. After a reset the new machine uses the same ones. */
export class BackEnds {
  readonly images: OpenDrives
  readonly networks: OpenNetworks
  #virtio: readonly VirtioArgument[]
  #cards: readonly E1000Argument[]
  readonly #roms: CardRoms
  #sound: SoundSettings['sound']
  #modules: readonly DeviceModule[]
  readonly #wav: WavFile | undefined
  readonly #shares: ReadonlyMap<string, LocalShare>
  readonly #vsocks: ReadonlyMap<string, UnixVsock>
  readonly #chardevs: Chardevs

  private constructor(
    images: OpenDrives,
    networks: OpenNetworks,
    { virtio = [], cards = [], sound = [], modules = [], audioFile }: BackEndSettings,
    roms: CardRoms,
    shares: ReadonlyMap<string, LocalShare>,
    vsocks: ReadonlyMap<string, UnixVsock>,
    chardevs: Chardevs,
  ) {
    this.images = images
    this.networks = networks
    this.#virtio = virtio
    this.#cards = cards
    this.#roms = roms
    this.#sound = sound
    this.#modules = modules.map(prepareModule)
    this.#wav = audioFile === undefined ? undefined : new WavFile(audioFile)
    this.#shares = shares
    this.#vsocks = vsocks
    this.#chardevs = chardevs
  }

  /**
   * @param chardevs - open chardevs, which their opener closes
   * @throws CliError `ERR_INPUT`, `ERR_USAGE`; ImageError; NetworkError
   */
  static async open(settings: BackEndSettings, chardevs: Chardevs): Promise<BackEnds> {
    const { drives = [], networks = [], virtio = [], cards = [], networkBoot, isReplay, isIncoming } = settings
    const roms = await CardRoms.open(romsOf(virtio, cards), networkBoot ?? WITHOUT_FIRMWARE)
    const images = await OpenDrives.open(drives, isIncoming === true ? 'later' : 'now')
    const shares = new Map<string, LocalShare>()
    const vsocks = new Map<string, UnixVsock>()
    let opened: OpenNetworks | undefined
    try {
      for (const one of virtio) {
        if (one.kind === 'share' && !shares.has(one.path)) shares.set(one.path, new LocalShare(one.path))
        // A replay gets the input from its recording.
        if (one.kind === 'vsock' && isReplay !== true) vsocks.set(one.uds, await UnixVsock.open(one.uds))
      }
      opened = await OpenNetworks.open(networks, isReplay, settings.closesLoopback)
      return new BackEnds(images, opened, settings, roms, shares, vsocks, chardevs)
    } catch (error) {
      opened?.close()
      for (const vsock of vsocks.values()) vsock.close()
      await Promise.all([...shares.values()].map((share) => share.close()))
      await images.close()
      throw error
    }
  }

  /**
   * Returns the back ends of a new machine. Work that an earlier machine has left behind must not overtake the new one's.
   *
   * @returns beside the options of these names, `behindPorts`: models of the user's own
   */
  async forMachine(leftMs: number = Infinity): Promise<
    Pick<MachineOptions, 'drives' | 'flash' | 'virtio' | 'networkCards' | 'sound' | 'speaker'> & {
      readonly behindPorts: readonly DeviceModel[]
    }
  > {
    await this.images.idle()
    const { drives, flash } = this.images
    await Promise.all([...this.#shares.values()].map((share) => share.renew()))
    const virtio = this.#connectVirtio(this.#virtio)
    const networkCards = this.#connectCards(this.#cards)
    const sound = this.#connectSound(this.#sound)
    const models = await Promise.all(this.#modules.map(async ({ models: load }) => load?.(leftMs) ?? []))
    return {
      behindPorts: models.flat(),
      ...(drives.length > 0 && { drives }),
      ...(flash.length > 0 && { flash }),
      ...(virtio.length > 0 && { virtio }),
      ...(networkCards.length > 0 && { networkCards }),
      ...(sound.length > 0 && { sound }),
      ...(this.#wav !== undefined && { speaker: this.#wav }),
    }
  }

  #connectVirtio(devices: readonly VirtioArgument[]): readonly MachineVirtioDevice[] {
    return connectVirtio(devices, {
      plug: (id) => this.networks.plug(id),
      roms: this.#roms,
      share: (path) => this.#shares.get(path)!,
      vsock: (uds) => this.#vsocks.get(uds),
      stream: (id) => this.#chardevs.plug(id),
    })
  }

  #connectCards(cards: readonly E1000Argument[]): readonly MachineNetworkCard[] {
    return connectCards(cards, (id) => this.networks.plug(id), this.#roms)
  }

  #connectSound(sound: SoundSettings['sound']): readonly MachineSoundDevice[] {
    return sound.map((device) => ({ ...device, audio: this.#wav }))
  }

  /**
   * Makes a device and plugs it into the running machine; machines after a reset have it as well.
   *
   * @returns the device, and a function that undoes the step if plugging in fails
   * @throws CliError `ERR_USAGE`; `ERR_INPUT` for a boot program that cannot be read
   */
  async add(argument: DeviceArgument): Promise<{ readonly device: MachinePluggable; readonly undo: () => void }> {
    if (isDiskDevice(argument)) {
      const properties = checkedProperties(argument)
      const id = properties.text('drive', '')
      const drive = this.images.use(id, diskOf(argument, properties))
      if (drive !== undefined) return { device: { drive }, undo: () => this.images.disuse(drive) }
      const isUsed = this.images.named.some((one) => one.id === id)
      throw usage(
        isUsed
          ? `another device has drive '${id}'; open another: drive_add if=none,id=NAME,file=FILE`
          : `there is no drive '${id}'; write drive_add if=none,id=${id || 'NAME'},file=FILE first`,
      )
    }
    if (namesModule(argument.name)) return this.#addModule(argument)
    const { sound } = listSound({ device: [argument] })
    if (sound.length > 0) {
      this.#sound = [...this.#sound, ...sound]
      const undo = (): void => void (this.#sound = this.#sound.filter((one) => !sound.includes(one)))
      return { device: { sound: this.#connectSound(sound)[0]! }, undo }
    }
    const cards = e1000Cards([argument])
    const virtio = virtioDevices([argument])
    for (const card of [...cards, ...virtio]) if ('netdev' in card) this.#checkFree(card.netdev)
    await this.#roms.add(romsOf(virtio, cards), WITHOUT_FIRMWARE)
    this.#cards = [...this.#cards, ...cards]
    this.#virtio = [...this.#virtio, ...virtio]
    const [networkCard] = this.#connectCards(cards)
    const undo = (): void => {
      this.#cards = this.#cards.filter((one) => !cards.includes(one))
      this.#virtio = this.#virtio.filter((one) => !virtio.includes(one))
    }
    return { device: networkCard === undefined ? { virtio: this.#connectVirtio(virtio)[0]! } : { networkCard }, undo }
  }

  async #addModule(argument: DeviceArgument): ReturnType<BackEnds['add']> {
    const module = prepareModule(argument)
    const models = (await module.models?.(Infinity)) ?? []
    const [device] = models
    if (device === undefined || models.length > 1)
      throw usage(`--device ${argument.name} exports ${models.length} device models; a root port has room for one`)
    this.#modules = [...this.#modules, module]
    const undo = (): void => void (this.#modules = this.#modules.filter((one) => one !== module))
    return { device: { device, port: module.port! }, undo }
  }

  #checkFree(netdev: string): void {
    const { ids } = this.networks
    if (!ids.includes(netdev))
      throw usage(`there is no network '${netdev}'; write netdev_add user,id=${netdev || 'n'} first`)
    if (this.uses(netdev)) throw usage(`another card has network '${netdev}'; add another with netdev_add`)
  }

  /** Whether a card has the network. */
  uses(netdev: string): boolean {
    return [...this.#cards, ...this.#virtio].some((card) => 'netdev' in card && card.netdev === netdev)
  }

  /** The device behind a root port is gone; its disk is closed. @throws CliError `ERR_INPUT` */
  async removeBehind(port: string): Promise<void> {
    const stays = (device: { readonly port?: string | undefined }): boolean => device.port !== port
    this.#virtio = this.#virtio.filter(stays)
    this.#cards = this.#cards.filter(stays)
    this.#sound = this.#sound.filter(stays)
    this.#modules = this.#modules.filter(stays)
    await this.images.removeBehind(port)
  }

  /** Ends all connections, writes remaining data, and closes every file. @returns the files for which this has failed */
  async close(): Promise<readonly FailedClose[]> {
    for (const vsock of this.#vsocks.values()) vsock.close()
    await Promise.all([...this.#shares.values()].map((share) => share.close()))
    return [...this.networks.close(), ...this.#closeSound(), ...(await this.images.close())]
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
