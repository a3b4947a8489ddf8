import { globSync, readdirSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  cacheDirectory,
  DebianError,
  fetchMembers,
  keep,
  type OnProgress,
  unpackPackage,
  withPackages,
} from '@retrap/debian'
import { CliError } from '../../errors.ts'
import { type LinuxArchitecture, pick } from './debian.ts'
import { addModule, indexModules, moduleFiles } from './kernel-modules.ts'

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

const fullKernel = (architecture: LinuxArchitecture): string => join('debian-12', `kernel-${architecture}`)

/** Debian's full kernel with all its modules, and a static busybox, from the cache or fetched. @returns the folder above `lib` */
async function fetchFullLinux(architecture: LinuxArchitecture, onProgress: OnProgress): Promise<string> {
  const { folder } = await keep({
    name: fullKernel(architecture),
    trustTimes: true,
    make: (files, directory) =>
      withPackages(
        { directory, architectures: [architecture], withoutSecurity: true },
        onProgress,
        async (packages) => {
          const { dependsOn } = await packages.show(`linux-image-${architecture}`)
          const names = [dependsOn.find((name) => name.startsWith('linux-image-'))!, 'busybox-static']
          const downloads = await packages.download(names, onProgress)
          const archives = await readdir(downloads)
          const [kernel = '', busybox = ''] = names.map((name) => join(downloads, pick(archives, name)))
          await unpackPackage(busybox, files, ['./bin/busybox'])
          await unpackPackage(kernel, files, ['./boot', './lib/modules'])
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
export async function fetchKernelModules(
  architecture: LinuxArchitecture,
  onProgress: OnProgress,
): Promise<KernelModules> {
  try {
    return modulesIn(join(cacheDirectory(), fullKernel(architecture)))
  } catch {
    return toldAsOurs(async () => modulesIn(await fetchFullLinux(architecture, onProgress)))
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
  architecture: LinuxArchitecture,
  drivers: readonly string[],
  onProgress: OnProgress,
): Promise<LinuxWithDrivers> {
  const [folder, shell] = await toldAsOurs(async () => {
    if (drivers.includes('9p')) {
      const whole = await fetchFullLinux(architecture, onProgress)
      return [whole, whole]
    }
    const suffix = architecture === 'amd64' ? '' : `:${architecture}`
    const [kernel = '', busybox = ''] = await fetchMembers(
      [
        {
          package: `linux-image-cloud-${architecture}${suffix}`,
          members: ['./boot/*', './lib/modules/*'],
          dependency: 'linux-image-',
        },
        { package: `busybox-static${suffix}`, members: ['./bin/busybox'] },
      ],
      { onProgress },
    )
    return [kernel, busybox]
  })
  const files = moduleFiles(folder)
  const order: string[] = []
  for (const name of drivers) addModule(name, files, order)
  const [kernelPath = ''] = globSync(join(folder, 'boot', 'vmlinuz-*'))
  return { kernelPath, busyboxPath: join(shell, 'bin', 'busybox'), modulePaths: order.map((name) => files.get(name)!) }
}

/** @throws CliError for files of Debian that are unavailable */
async function toldAsOurs<T>(fetch: () => Promise<T>): Promise<T> {
  try {
    return await fetch()
  } catch (error) {
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', error.message)
  }
}
