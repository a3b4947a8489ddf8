import { existsSync, globSync, readdirSync } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  cacheDirectory,
  type DistributedMembers,
  fetchMembers,
  keep,
  kernelPackages,
  type OnProgress,
  type ReleaseName,
  SHELL_RELEASE,
  unpackPackage,
  USUAL_RELEASE,
  withPackages,
} from '@retrap/debian'
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

/** Modules of other releases than the usual one, without drivers of devices that no guest has: they would be four times as many bytes. */
const MODULES = [
  ...['arch', 'block', 'crypto', 'fs', 'lib', 'mm', 'net'],
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
].map((name) => `./*lib/modules/*/kernel/${name}`)
const BUILT_IN = './*lib/modules/*/modules.builtin'

/** The files of a kernel's package by its name. Newer kernels have several packages. */
function membersOf(name: string, release: ReleaseName, architecture: LinuxArchitecture): readonly string[] {
  // Hypervisors of other architectures have no modules here.
  const modules = architecture === 'amd64' ? [...MODULES, './*lib/modules/*/kernel/virt'] : MODULES
  if (name.startsWith('linux-binary-')) return ['./*lib/modules/*/vmlinuz']
  if (name.startsWith('linux-base-')) return [BUILT_IN]
  if (name.startsWith('linux-modules-')) return modules
  return release === USUAL_RELEASE ? ['./boot', './lib/modules'] : ['./boot', BUILT_IN, ...modules]
}

/** Debian's names of packages of an architecture end so; amd64's need no more than their names. */
const suffixOf = (architecture: LinuxArchitecture): string => (architecture === 'amd64' ? '' : `:${architecture}`)

/** The guests' shell and commands, linked statically: its file belongs to glibc's licence, too. */
export const busyboxOf = (architecture: LinuxArchitecture): DistributedMembers => ({
  release: SHELL_RELEASE,
  package: `busybox-static${suffixOf(architecture)}`,
  members: ['./usr/bin/busybox'],
  linked: ['libc6'],
})

/** Path of busybox below the folder of its package. */
const BUSYBOX = join('usr', 'bin', 'busybox')

const fullKernel = (release: ReleaseName, architecture: LinuxArchitecture): string =>
  join(`debian-${release}`, `kernel-${architecture}`)

/**
 * A full kernel with its modules, and a static busybox, from the cache or fetched.
 *
 * @param refresh - fetches the newest versions of the archive
 * @returns the folder above `lib`
 * @throws CliError `ERR_FETCH` for packages that are unavailable
 */
export async function fetchFullLinux(
  release: ReleaseName,
  architecture: LinuxArchitecture,
  onProgress: OnProgress,
  refresh = false,
): Promise<string> {
  const { folder } = await keep({
    name: fullKernel(release, architecture),
    trustTimes: true,
    refresh,
    make: async (files, directory) => {
      const options = { directory, release, architectures: [architecture], withoutSecurity: true, isCurrent: refresh }
      await withPackages(options, onProgress, async (packages) => {
        const names = await kernelPackages(packages, `linux-image-${architecture}`)
        const downloads = await packages.download(names, onProgress)
        const archives = await readdir(downloads)
        for (const name of names)
          await unpackPackage(join(downloads, pick(archives, name)), files, membersOf(name, release, architecture))
      })
      // Debian 13 has the modules below /usr.
      if (existsSync(join(files, 'usr'))) {
        await rename(join(files, 'usr', 'lib'), join(files, 'lib'))
        await rm(join(files, 'usr'), { recursive: true })
      }
      await unpackModules(modulesIn(files).folder)
      indexModules(modulesIn(files).folder)
      const [shell = ''] = await fetchMembers([busyboxOf(architecture)], { onProgress })
      await mkdir(join(files, 'bin'))
      await copyFile(join(shell, BUSYBOX), join(files, 'bin', 'busybox'))
      return {}
    },
  }).catch(unavailable)
  return folder
}

function modulesIn(kernel: string): KernelModules {
  const folder = join(kernel, 'lib', 'modules')
  const [release = ''] = readdirSync(folder)
  return { release, folder: join(folder, release), busyboxPath: join(kernel, 'bin', 'busybox') }
}

/** Returns the modules of a full kernel in the cache; undefined without one. Its files are not checked, as each run of `exec` calls this. */
export function keptKernel(release: ReleaseName, architecture: LinuxArchitecture): KernelModules | undefined {
  try {
    return modulesIn(join(cacheDirectory(), fullKernel(release, architecture)))
  } catch {
    return undefined
  }
}

/** Returns the modules of a full kernel, which is fetched if the cache has none. */
export async function fetchKernelModules(
  architecture: LinuxArchitecture,
  onProgress: OnProgress,
  release: ReleaseName = USUAL_RELEASE,
): Promise<KernelModules> {
  return keptKernel(release, architecture) ?? modulesIn(await fetchFullLinux(release, architecture, onProgress))
}

/**
 * Debian's kernel for clouds, or for folders of the host and other releases its full one, as the one for clouds has no 9P, and a
 * static busybox, from the cache or fetched.
 *
 * @param drivers - names of modules; their dependencies are included. Built-in drivers are left out
 * @throws CliError `ERR_FETCH` without a network
 */
export async function fetchLinuxWithDrivers(
  architecture: LinuxArchitecture,
  drivers: readonly string[],
  onProgress: OnProgress,
  release: ReleaseName = USUAL_RELEASE,
): Promise<LinuxWithDrivers> {
  const image = `linux-image-cloud-${architecture}${suffixOf(architecture)}`
  const members = [
    { package: image, members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-' },
    busyboxOf(architecture),
  ]
  const fetched =
    drivers.includes('9p') || release !== USUAL_RELEASE
      ? fetchFullLinux(release, architecture, onProgress).then((folder) => [folder])
      : fetchMembers(members, { onProgress })
  const [folder = '', shell] = await fetched.catch(unavailable)
  return linuxIn(folder, shell, drivers)
}

/** The files in the folders of a kernel's package and of busybox's. @param shell - without one, the kernel's folder has a busybox */
export function linuxIn(folder: string, shell: string | undefined, drivers: readonly string[]): LinuxWithDrivers {
  const files = moduleFiles(folder)
  const order: string[] = []
  for (const name of drivers) addModule(name, files, order)
  const [kernelPath = ''] = globSync([
    join(folder, 'boot', 'vmlinuz-*'),
    join(folder, 'lib', 'modules', '*', 'vmlinuz'),
  ])
  const busyboxPath = shell === undefined ? modulesIn(folder).busyboxPath : join(shell, BUSYBOX)
  return { kernelPath, busyboxPath, modulePaths: order.map((name) => files.get(name)!) }
}
