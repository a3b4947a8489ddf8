import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DebianError, keep, type OnProgress, type PackageSource, unpackPackage, withPackages } from '@retrap/debian'
import { CliError } from '../errors.ts'

export interface DebianOptions {
  /** Folder of fetched files; the user's cache folder unless given. */
  readonly cacheDirectory?: string
  readonly mirror?: string
  /** Ask Debian for a newer version even where files are kept already. */
  readonly refresh?: boolean
  readonly onProgress?: OnProgress
}

/** The kernel package for a name such as `linux-image-cloud-amd64`, and a matching busybox. */
export interface LinuxFiles {
  readonly version: string
  readonly packageName: string
  readonly kernelPath: string
  readonly busyboxPath: string
}

export interface InstallerFiles {
  readonly version: string
  readonly packageName: string
  readonly kernelPath: string
  readonly initrdPath: string
}

export type InstallerArchitecture = 'amd64' | 'arm64' | 'i386'

/** Architectures of bootable kernels, by Debian's names. */
export type LinuxArchitecture = 'amd64' | 'arm64'

const BUSYBOX_PACKAGE = 'busybox-static'

/**
 * A Debian kernel and a static busybox, from the cache or fetched by package name.
 *
 * @param packageName - a kernel package, or the package that depends on Debian's current one
 * @throws CliError `ERR_FETCH` without a network, or for an unknown package
 */
export async function fetchLinux(
  packageName: string,
  options: DebianOptions = {},
  architecture: LinuxArchitecture = 'amd64',
): Promise<LinuxFiles> {
  if (!/^linux-image-[a-z0-9.+-]+$/.test(packageName)) {
    throw new CliError('ERR_USAGE', `'${packageName}' is not a kernel package; try linux-image-cloud-amd64`)
  }
  // amd64 is the usual architecture, whose packages need no more than their name.
  const suffix = architecture === 'amd64' ? '' : `:${architecture}`
  return cached(packageName, options, async (packages, folder, onProgress) => {
    const asked = await packages.show(`${packageName}${suffix}`)
    // The well-known names are empty packages that depend on the current kernel.
    const named = asked.dependsOn.find((name) => /^linux-image-\d/.test(name)) ?? packageName
    const real = named.split(':')[0]!
    const downloads = await packages.download([`${real}${suffix}`, `${BUSYBOX_PACKAGE}${suffix}`], onProgress)
    const archives = await readdir(downloads)
    await unpackPackage(join(downloads, pick(archives, real)), folder, ['./boot/vmlinuz-*'])
    await unpackPackage(join(downloads, pick(archives, BUSYBOX_PACKAGE)), folder, ['./bin/busybox'])
    const kernel = (await readdir(join(folder, 'boot')))[0] ?? ''
    return {
      packageName: real,
      version: asked.version,
      kernelPath: join('boot', kernel),
      busyboxPath: join('bin', 'busybox'),
    }
  })
}

/** The kernel and initial RAM disk of Debian 12's installer, from the cache or fetched. */
export async function fetchInstaller(
  architecture: InstallerArchitecture,
  options: DebianOptions = {},
): Promise<InstallerFiles> {
  const packageName = `debian-installer-12-netboot-${architecture}`
  return cached(packageName, options, async (packages, folder, onProgress) => {
    const { version } = await packages.show(packageName)
    const downloads = await packages.download([packageName], onProgress)
    const images = `usr/lib/debian-installer/images/12/${architecture}/text/debian-installer/${architecture}`
    const members = [`./${images}/linux`, `./${images}/initrd.gz`]
    await unpackPackage(join(downloads, pick(await readdir(downloads), packageName)), folder, members)
    return { packageName, version, kernelPath: join(images, 'linux'), initrdPath: join(images, 'initrd.gz') }
  })
}

type Paths = { readonly [key in 'kernelPath' | 'busyboxPath' | 'initrdPath']?: string }

/** Runs `fetch` unless its result is kept already. */
async function cached<T extends Paths>(
  name: string,
  options: DebianOptions,
  fetch: (packages: PackageSource, folder: string, onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const onProgress = options.onProgress ?? (() => {})
  try {
    const { folder, data } = await keep<T>({
      ...(options.cacheDirectory === undefined ? {} : { root: options.cacheDirectory }),
      ...(options.refresh === undefined ? {} : { refresh: options.refresh }),
      name: join('debian-12', name),
      make: (files, directory) => {
        const mirror = options.mirror === undefined ? {} : { mirror: options.mirror }
        // A release of retrap fixes the version of its packages, unless the user asks for newer ones.
        const wanted = { directory, architectures: ['amd64', 'arm64'], isCurrent: options.refresh === true, ...mirror }
        return withPackages(wanted, onProgress, (packages) => fetch(packages, files, onProgress))
      },
    })
    return within(folder, data)
  } catch (error) {
    const isCache = error instanceof DebianError && error.code === 'ERR_CACHE'
    return unavailable(error, isCache ? '' : '; or give a kernel of your own: retrap run --kernel FILE')
  }
}

/** Throws for files of Debian that are unavailable. @throws CliError `ERR_FETCH`; errors of other kinds as they are */
export function unavailable(error: unknown, advice = ''): never {
  if (!(error instanceof DebianError)) throw error
  throw new CliError('ERR_FETCH', `${error.message}${advice}`)
}

/** Returns the files' paths below `folder`. */
function within<T extends Paths>(folder: string, files: T): T {
  const result: Record<string, unknown> = { ...files }
  for (const key of ['kernelPath', 'busyboxPath', 'initrdPath'] as const) {
    const path = files[key]
    if (path !== undefined) result[key] = join(folder, path)
  }
  return result as T
}

/** Files are named PACKAGE_VERSION_ARCHITECTURE.deb. */
export function pick(archives: readonly string[], packageName: string): string {
  const found = archives.find((archive) => archive.startsWith(`${packageName}_`))
  if (found === undefined) throw new CliError('ERR_FETCH', `no ${packageName} was downloaded`)
  return found
}
