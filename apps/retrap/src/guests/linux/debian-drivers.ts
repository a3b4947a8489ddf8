import { globSync, readdirSync } from 'node:fs'
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory, fetchMembers, keep, type OnProgress, unpackPackage, withPackages } from '@retrap/debian'
import { type LinuxArchitecture, pick, unavailable } from './debian.ts'
import { addModule, indexModules, moduleFiles, unpackModules } from './kernel-modules.ts'

/** A kernel with drivers as modules, and a matching busybox. */
export interface LinuxWithDrivers {
  readonly kernelPath: string
  readonly busyboxPath: string
  /** Modules of the kernel, in the order in which they are loaded. */
  readonly modulePaths: readonly string[]
}

/** The modules of Debian's full kernel. */
export interface KernelModules {
  /** The kernel's version, as `uname -r` prints it. */
  readonly release: string
  /** `lib/modules/RELEASE`. */
  readonly folder: string
  /** Path of a busybox that includes `modprobe`. */
  readonly busyboxPath: string
}

/** A full kernel of Debian's: Debian 12's of an architecture, or a newer one. */
export type FullKernel = LinuxArchitecture | 'apx'

/** The kernel for processors with APX, whose registers Linux keeps from 6.16 on. */
const APX_KERNEL = 'linux-image-6.18.15+deb13-amd64'
/** The kernel's modules, without drivers of devices that no guest has: they would be four times as many bytes. */
const APX_MODULES = [
  ...['arch', 'block', 'crypto', 'fs', 'lib', 'mm', 'net', 'virt'],
  ...['ata', 'block', 'char', 'md', 'virtio'].map((name) => `drivers/${name}`),
  ...[
    'bonding',
    'dummy*',
    'ifb*',
    'ipvlan',
    'macv*',
    'net_failover*',
    'tap*',
    'tun*',
    'veth*',
    'virtio_net*',
    'vrf*',
    'vxlan',
    'wireguard',
  ].map((name) => `drivers/net/${name}`),
].map((name) => `./usr/lib/modules/*/kernel/${name}`)

const fullKernel = (kernel: FullKernel): string => join('debian-12', `kernel-${kernel}`)

/** A full kernel with its modules, and a static busybox, from the cache or fetched. @returns the folder above `lib` */
async function fetchFullLinux(wanted: FullKernel, onProgress: OnProgress): Promise<string> {
  const isNewer = wanted === 'apx'
  const architecture = isNewer ? 'amd64' : wanted
  const { folder } = await keep({
    name: fullKernel(wanted),
    trustTimes: true,
    make: (files, directory) =>
      withPackages(
        { directory, architectures: [architecture], withoutSecurity: true },
        onProgress,
        async (packages) => {
          const { dependsOn } = await packages.show(isNewer ? APX_KERNEL : `linux-image-${architecture}`)
          const names = [dependsOn.find((name) => name.startsWith('linux-image-')) ?? APX_KERNEL, 'busybox-static']
          const downloads = await packages.download(names, onProgress)
          const archives = await readdir(downloads)
          const [kernel = '', busybox = ''] = names.map((name) => join(downloads, pick(archives, name)))
          await unpackPackage(busybox, files, ['./bin/busybox'])
          if (isNewer) {
            await unpackPackage(kernel, files, ['./boot', './usr/lib/modules/*/modules.builtin', ...APX_MODULES])
            await rename(join(files, 'usr', 'lib'), join(files, 'lib'))
            await unpackModules(modulesIn(files).folder)
          } else await unpackPackage(kernel, files, ['./boot', './lib/modules'])
          indexModules(modulesIn(files).folder)
          return {}
        },
      ),
  })
  return folder
}

function modulesIn(kernel: string): KernelModules {
  const folder = join(kernel, 'lib', 'modules')
  const [release = ''] = readdirSync(folder)
  return { release, folder: join(folder, release), busyboxPath: join(kernel, 'bin', 'busybox') }
}

/** Returns the modules of the kernel above. Cached ones are not checked again, because each run of `exec` calls this. */
export async function fetchKernelModules(kernel: FullKernel, onProgress: OnProgress): Promise<KernelModules> {
  try {
    return modulesIn(join(cacheDirectory(), fullKernel(kernel)))
  } catch {
    return modulesIn(await fetchFullLinux(kernel, onProgress).catch(unavailable))
  }
}

/**
 * Debian's kernel for clouds, or for folders of the host its full one, as the one for clouds has no 9P, and a static busybox, from
 * the cache or fetched.
 *
 * @param drivers - names of modules; their dependencies are included. Built-in drivers are left out
 * @throws CliError `ERR_FETCH` without a network
 */
export async function fetchLinuxWithDrivers(
  kernel: FullKernel,
  drivers: readonly string[],
  onProgress: OnProgress,
): Promise<LinuxWithDrivers> {
  const architecture = kernel === 'apx' ? 'amd64' : kernel
  const suffix = architecture === 'amd64' ? '' : `:${architecture}`
  const image = `linux-image-cloud-${architecture}${suffix}`
  const members = [
    { package: image, members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-' },
    { package: `busybox-static${suffix}`, members: ['./bin/busybox'] },
  ]
  const fetched = drivers.includes('9p')
    ? fetchFullLinux(kernel, onProgress).then((folder) => [folder])
    : fetchMembers(members, { onProgress })
  const [folder = '', shell = folder] = await fetched.catch(unavailable)
  return linuxIn(folder, shell, drivers)
}

/** The files in the folders of a kernel's package and of busybox's. */
export function linuxIn(folder: string, shell: string, drivers: readonly string[]): LinuxWithDrivers {
  const files = moduleFiles(folder)
  const order: string[] = []
  for (const name of drivers) addModule(name, files, order)
  const [kernelPath = ''] = globSync(join(folder, 'boot', 'vmlinuz-*'))
  return { kernelPath, busyboxPath: join(shell, 'bin', 'busybox'), modulePaths: order.map((name) => files.get(name)!) }
}
