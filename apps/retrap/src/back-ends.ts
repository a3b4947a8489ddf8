import type { DriveArgument } from './drives.ts'
import type { MachineOptions } from './machine-contract.ts'
import type { NetdevArgument } from './netdevs.ts'
import { type FailedClose, OpenDrives } from './open-drives.ts'
import { OpenNetworks } from './open-networks.ts'
import { connectNetworks, type VirtioArgument } from './pci-devices.ts'

/** What a session opens once, however often the guest resets its machine. */
export interface BackEndSettings {
  /** Disks and CD drives; default none. */
  readonly drives?: readonly DriveArgument[]
  /** Networks; default none. */
  readonly networks?: readonly NetdevArgument[]
  /** Virtio devices beside the drives; their networks are named by id. */
  readonly virtio?: readonly VirtioArgument[]
}

/** Images and networks of a session. A machine that replaces one that was reset goes on with the same ones. */
export class BackEnds {
  readonly #drives: OpenDrives | null
  readonly #networks: OpenNetworks
  readonly #virtio: readonly VirtioArgument[]

  private constructor(drives: OpenDrives | null, networks: OpenNetworks, virtio: readonly VirtioArgument[]) {
    this.#drives = drives
    this.#networks = networks
    this.#virtio = virtio
  }

  /** @throws CliError `ERR_INPUT`, `ERR_USAGE`; ImageError; NetworkError */
  static async open({ drives = [], networks = [], virtio = [] }: BackEndSettings): Promise<BackEnds> {
    const images = drives.length > 0 ? await OpenDrives.open(drives) : null
    try {
      return new BackEnds(images, await OpenNetworks.open(networks), virtio)
    } catch (error) {
      await images?.close()
      throw error
    }
  }

  /** What a new machine is given. What an earlier one has left behind must not overtake what this one does. */
  async forMachine(): Promise<Pick<MachineOptions, 'drives' | 'flash' | 'virtio'>> {
    const { drives = [], flash = [] } = this.#drives ?? {}
    await this.#drives?.idle()
    const virtio = connectNetworks(this.#virtio, (id) => this.#networks.plug(id))
    return {
      ...(drives.length > 0 && { drives }),
      ...(flash.length > 0 && { flash }),
      ...(virtio.length > 0 && { virtio }),
    }
  }

  /** Ends all connections, writes what is left, and closes every file. @returns the files for which this has failed */
  async close(): Promise<readonly FailedClose[]> {
    return [...this.#networks.close(), ...((await this.#drives?.close()) ?? [])]
  }
}
