import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  type DistributedMembers,
  type DistributedPackage,
  type FetchDistributedOptions,
  fetchDistributed,
} from '@retrap/debian'
import { type LinuxArchitecture, unavailable } from '@retrap/linux-guest/linux/debian'
import { busyboxOf, linuxIn, type LinuxWithDrivers } from '@retrap/linux-guest/linux/debian-drivers'
import { LICENCE_TEXTS } from './packages.ts'

/** Drivers of the disk, of its file system unless built in, and of the network card. */
const DRIVERS = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4', 'virtio_net']

/** Packages of an architecture, the kernel's first: names of amd64 need none. */
export const debianPackages = (architecture: LinuxArchitecture): readonly DistributedMembers[] => {
  const suffix = architecture === 'amd64' ? '' : `:${architecture}`
  const kernel = `linux-image-cloud-${architecture}${suffix}`
  return [
    // The signed kernel, for Secure Boot, has a second source package.
    { package: kernel, members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-', suffix: '-unsigned' },
    busyboxOf(architecture),
  ]
}

/** Files of which the start page's Debian is made. */
export interface DebianFiles extends LinuxWithDrivers {
  readonly architecture: LinuxArchitecture
  /** Version of the kernel. */
  readonly version: string
  /** The kernel's configuration. */
  readonly configPath: string
}

/** Debian's files, with their packages. */
export interface FetchedDebian extends DebianFiles {
  readonly kernel: DistributedPackage
  readonly busybox: DistributedPackage
  readonly licenceTexts: DistributedPackage
}

/** Finds the files in the cache, or fetches them. @throws CliError `ERR_FETCH` without a network */
export async function fetchDebianFiles(
  architecture: LinuxArchitecture,
  options: FetchDistributedOptions,
): Promise<FetchedDebian> {
  const found = await fetchDistributed([...debianPackages(architecture), LICENCE_TEXTS], options).catch(unavailable)
  const [kernel, busybox, licenceTexts] = found as [DistributedPackage, DistributedPackage, DistributedPackage]
  return { ...debianFilesIn(architecture, kernel.folder, busybox.folder), kernel, busybox, licenceTexts }
}

/** The files in the folders of both packages. */
export function debianFilesIn(architecture: LinuxArchitecture, kernel: string, busybox: string): DebianFiles {
  const linux = linuxIn(kernel, busybox, DRIVERS)
  const [configPath = ''] = globSync(join(kernel, 'boot', 'config-*'))
  return { ...linux, architecture, version: basename(linux.kernelPath).replace('vmlinuz-', ''), configPath }
}
