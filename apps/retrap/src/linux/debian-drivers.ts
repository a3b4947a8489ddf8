import { globSync } from 'node:fs'
import { join } from 'node:path'
import { DebianError, fetchMembers, type OnProgress } from '@retrap/debian'
import { CliError } from '../errors.ts'
import { addModule, type LinuxArchitecture, moduleFiles } from './debian.ts'

/** A kernel with drivers that are modules, and the busybox to go with it. */
export interface LinuxWithDrivers {
  readonly kernelPath: string
  readonly busyboxPath: string
  /** Modules of the kernel, in the order in which they are loaded. */
  readonly modulePaths: readonly string[]
}

/** The parts of the full kernel that have drivers of folders, consoles and network cards: the one for clouds has no 9P. */
const SHARING_MEMBERS = [
  './boot/vmlinuz-*',
  ...['drivers/virtio/*', 'net/9p/*', 'fs/9p/*', 'fs/netfs/*', 'fs/fscache/*'].map(
    (path) => `./lib/modules/*/kernel/${path}`,
  ),
  ...[
    'fs/overlayfs/*',
    'drivers/char/virtio_console.ko',
    'net/core/failover.ko',
    'drivers/net/net_failover.ko',
    'drivers/net/virtio_net.ko',
    'drivers/net/ethernet/intel/e1000/*',
  ].map((path) => `./lib/modules/*/kernel/${path}`),
]

/**
 * Debian's kernel for clouds, or for folders of the host its full one, with some of its drivers, and a static busybox, from the cache or fetched.
 *
 * @param drivers - names of modules; those that they need are there too. A driver that is part of the kernel is left out
 * @throws CliError `ERR_FETCH` where there is no network
 */
export async function fetchLinuxWithDrivers(
  architecture: LinuxArchitecture,
  drivers: readonly string[],
  onProgress: OnProgress,
): Promise<LinuxWithDrivers> {
  const suffix = architecture === 'amd64' ? '' : `:${architecture}`
  const isSharing = drivers.includes('9p')
  const kernel = `linux-image-${isSharing ? '' : 'cloud-'}${architecture}${suffix}`
  const members = isSharing ? SHARING_MEMBERS : ['./boot/*', './lib/modules/*']
  try {
    const [folder = '', shell = ''] = await fetchMembers(
      [
        { package: kernel, members, dependency: 'linux-image-' },
        { package: `busybox-static${suffix}`, members: ['./bin/busybox'] },
      ],
      { onProgress },
    )
    const files = moduleFiles(folder)
    const order: string[] = []
    for (const name of drivers) addModule(name, files, order)
    const [kernelPath = ''] = globSync(join(folder, 'boot', 'vmlinuz-*'))
    return {
      kernelPath,
      busyboxPath: join(shell, 'bin', 'busybox'),
      modulePaths: order.map((name) => files.get(name)!),
    }
  } catch (error) {
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', error.message)
  }
}
