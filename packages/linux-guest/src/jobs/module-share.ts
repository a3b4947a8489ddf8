/** The kernel's modules in a guest of `retrap exec`, and modules of the user's. */
import { resolve } from 'node:path'
import type { Share } from '@retrap/virtio/p9'
import { fetchLines } from '../host/files.ts'
import { CliError } from '../errors.ts'
import { fetchKernelModules, type KernelModules } from '../linux/debian-drivers.ts'
import { KERNEL_FOLDER } from '../linux/exec-initramfs.ts'
import { dependenciesOf, hasModule, moduleName, readModuleInfo } from '../linux/kernel-modules.ts'
import { LocalShare } from '../machine/share/local-share.ts'
import { ExecError } from './errors.ts'
import { entryOf, hostUser, put, statOf } from './host-root.ts'
import { quote } from './job.ts'
import type { ExecKind } from './machine.ts'
import { type ViewEntry, ViewShare } from './view-share.ts'

/** Where modules of the user's are, below the share. */
const OWN = '/usr/lib/modules/retrap'

/** Programs that a root without kmod gets: busybox goes by the name that it is called by. */
const PROGRAMS = ['modprobe', 'insmod', 'rmmod', 'lsmod']

/** The files of a guest's kernel. */
export interface ModuleShare {
  /** Mounted below the program's root, whose modules hide these. */
  readonly share: Share
  /** Commands that load the modules of the user's. */
  readonly commands: readonly string[]
  /** Whether the kernel has a module of this name, as far as is known. */
  has(name: string): boolean
  close(): Promise<void>
}

/** A module of the user's. */
interface OwnModule {
  readonly path: string
  readonly name: string
  readonly needs: readonly string[]
}

/** Reads a module that the user names. @throws CliError `ERR_USAGE` if the file is not a module, ExecError for a module of another kernel */
function readOwn(path: string, kernel: KernelModules | undefined): OwnModule {
  const stat = statOf(path)
  const info = stat?.isFile() === true ? readModuleInfo(path) : undefined
  if (info === undefined)
    throw new CliError('ERR_USAGE', `--module ${path}: it is no kernel module; give a file that ends in .ko`)
  const [magic = ''] = info.get('vermagic') ?? []
  const release = magic.split(' ')[0]
  if (kernel !== undefined && release !== kernel.release)
    throw new ExecError(
      125,
      `--module ${path}: it is built for Linux ${release}, and the guest has ${kernel.release}; build it for that one, or give your kernel by --kernel`,
    )
  return { path: resolve(path), name: moduleName(path), needs: dependenciesOf(info) }
}

/**
 * Opens the modules of a kind of machine.
 *
 * `/lib` of a root is a folder, or a link to `usr/lib`. The share has the modules in the latter, and in the former a link to them: a
 * root that has a link there hides it.
 *
 * @param own - paths of modules of the user's, in the order in which they are loaded
 */
export async function openModules(
  { arch, debian, kernel: named }: Pick<ExecKind, 'arch' | 'debian' | 'kernel'>,
  own: readonly string[],
  tell: (text: string) => void,
): Promise<ModuleShare> {
  const kernel = named === undefined ? await fetchKernelModules(arch, fetchLines(tell), debian) : undefined
  const modules = own.map((path) => readOwn(path, kernel))
  const entries = new Map<string, ViewEntry>()
  const shares = new Map<string, LocalShare>()
  const folder = (path: string): LocalShare => {
    const share = shares.get(path) ?? new LocalShare(path)
    shares.set(path, share)
    return share
  }
  const add = (path: string, file: string): boolean => put(entries, path, entryOf(file, statOf(file)!, folder))
  if (kernel !== undefined) {
    const path = `/usr/lib/modules/${kernel.release}`
    add(path, kernel.folder)
    put(entries, `/lib/modules/${kernel.release}`, { kind: 'link', text: path })
    for (const name of PROGRAMS) add(`/usr/sbin/${name}`, kernel.busyboxPath)
  }
  for (const { path, name } of modules)
    if (!add(`${OWN}/${name}.ko`, path))
      throw new CliError('ERR_USAGE', `--module ${path}: there are two modules ${name}`)
  return {
    share: new ViewShare({ kind: 'directory', entries }, hostUser()),
    commands: modules.flatMap(({ name, needs }, i) => [
      ...(needs.length === 0 ? [] : [`modprobe -qa ${needs.map(quote).join(' ')}`]),
      `why=$(insmod ${quote(`${KERNEL_FOLDER}${OWN}/${name}.ko`)} 2>&1) || { echo "end module${i} $why" >&7; exit; }`,
    ]),
    has: (name) => kernel === undefined || hasModule(kernel.folder, name),
    async close() {
      await Promise.all([...shares.values()].map((share) => share.close()))
    },
  }
}
