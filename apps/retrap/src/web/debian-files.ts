import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DebianError, fetchMembers, type OnProgress, type PackageMembers } from '@retrap/debian'
import { CliError } from '../cli-error.ts'
import type { LinuxArchitecture } from '../linux/debian.ts'
import { addModule, moduleFiles } from '../linux/kernel-modules.ts'

/** Drivers of the network card. */
const DRIVERS = ['virtio_pci', 'virtio_net']

/** Packages of an architecture: names of amd64 need none. */
const packagesOf = (architecture: LinuxArchitecture): readonly PackageMembers[] => {
  const suffix = architecture === 'amd64' ? '' : `:${architecture}`
  const kernel = `linux-image-cloud-${architecture}${suffix}`
  return [
    { package: kernel, members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-' },
    { package: `busybox-static${suffix}`, members: ['./bin/busybox'] },
  ]
}

/** Files of which the start page's Debian is made. */
export interface DebianFiles {
  readonly architecture: LinuxArchitecture
  /** The kernel's. */
  readonly version: string
  readonly kernelPath: string
  readonly busyboxPath: string
  /** Modules of the kernel's, in the order in which they are loaded. */
  readonly modulePaths: readonly string[]
}

/** Finds the files in the cache, or fetches them. @throws CliError `ERR_FETCH` where there is no apt, or no network */
export async function fetchDebianFiles(architecture: LinuxArchitecture, onProgress: OnProgress): Promise<DebianFiles> {
  try {
    const [kernel = '', busybox = ''] = await fetchMembers(packagesOf(architecture), { onProgress })
    const files = moduleFiles(kernel)
    const order: string[] = []
    for (const name of DRIVERS) addModule(name, files, order)
    const [kernelPath = ''] = globSync(join(kernel, 'boot', 'vmlinuz-*'))
    return {
      architecture,
      version: basename(kernelPath).replace('vmlinuz-', ''),
      kernelPath,
      busyboxPath: join(busybox, 'bin', 'busybox'),
      modulePaths: order.map((name) => files.get(name)!),
    }
  } catch (error) {
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', error.message)
  }
}
