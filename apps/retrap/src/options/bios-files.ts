import { join } from 'node:path'
import { DebianError, fetchMembers } from '@retrap/debian'
import type { KernelRom } from '@retrap/machine'
import { CliError } from '../cli-error.ts'
import { showFetchProgress } from '../files/fetch-progress.ts'
import { readBytes } from '../files/files.ts'

/** Files that firmware consists of. */
export type BiosFile = 'bios-256k.bin' | 'vgabios-stdvga.bin' | KernelRom

/** Where Debian has a file, and what to do where it cannot be fetched. */
interface Source {
  readonly package: string
  /** What is fetched with it; default nothing else. */
  readonly together?: readonly KernelRom[]
  readonly folder: string
  readonly instead: string
}

const KERNEL_ROM: Source = {
  package: 'qemu-system-data',
  together: ['linuxboot_dma.bin', 'multiboot_dma.bin', 'pvh.bin'],
  folder: 'usr/share/qemu',
  instead: "give QEMU's ROM of this name: --option-rom FILE",
}

const SOURCES: Readonly<Record<BiosFile, Source>> = {
  'bios-256k.bin': {
    package: 'seabios',
    folder: 'usr/share/seabios',
    instead: 'give a firmware image of your own: --firmware FILE',
  },
  'vgabios-stdvga.bin': {
    package: 'seabios',
    folder: 'usr/share/seabios',
    instead: 'do without the graphics card: --vga none',
  },
  'linuxboot_dma.bin': KERNEL_ROM,
  'multiboot_dma.bin': KERNEL_ROM,
  'pvh.bin': KERNEL_ROM,
}

/** A file of firmware as Debian has it, from the cache or fetched. @throws CliError `ERR_FETCH` */
export async function fetchBiosFile(name: BiosFile): Promise<Uint8Array> {
  const { package: archive, folder, instead, together = [name] } = SOURCES[name]
  const shown = showFetchProgress()
  try {
    const members = together.map((file) => `./${folder}/${file}`)
    const [root = ''] = await fetchMembers([{ package: archive, members }], shown)
    shown.stop('done')
    return await readBytes(join(root, folder, name))
  } catch (error) {
    shown.stop('failed')
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', `${error.message}; ${instead}`)
  }
}
