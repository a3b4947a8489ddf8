/** Options that a kernel of the user's must have built in for `retrap exec`, and how one is told that lacks some. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { kernelPayload } from '../linux/kernel-payload.ts'

/** Options of the kernel's configuration by purpose. They must be built in: the guest loads modules only with their help. */
const NEEDS: Readonly<Record<string, string>> = {
  BLK_DEV_INITRD: '',
  BINFMT_ELF: '',
  BINFMT_SCRIPT: '',
  PROC_FS: '',
  SYSFS: '',
  DEVTMPFS: '',
  TMPFS: '',
  CGROUPS: '',
  UNIX98_PTYS: '',
  PCI: '',
  VIRTIO_PCI: 'virtio_pci',
  VIRTIO_CONSOLE: 'virtio_console',
  NET_9P: '9pnet',
  NET_9P_VIRTIO: '9pnet_virtio',
  '9P_FS': '9p',
  OVERLAY_FS: 'overlay',
}
const NETWORK_NEEDS = { VIRTIO_NET: 'virtio_net' }

/** Path from an image, such as arch/x86/boot/bzImage, to the top of its build tree. */
const TREE = '../../..'

/** Guide that explains the list. */
const GUIDE = 'https://github.com/retrap/retrap/blob/main/apps/docs/pages/guides/ci.md#a-kernel-of-yours'

/** Source: Linux, kernel/configs.c: the configuration, compressed by gzip, between two marks. */
const CONFIG_MARKS = ['IKCFG_ST', 'IKCFG_ED'] as const
/**
 * Says which options a kernel lacks, by its embedded configuration (CONFIG_IKCONFIG), or by a file beside it: `config-VERSION` beside
 * `vmlinuz-VERSION`, or `.config` or `modules.builtin` of the tree in which it was built.
 *
 * @returns a sentence; empty: nothing is missing; undefined: the kernel's configuration is unknown
 */
export async function lacksOfKernel(path: string, hasNetwork: boolean): Promise<string | undefined> {
  const needs = Object.entries({ ...NEEDS, ...(hasNetwork && NETWORK_NEEDS) })
  const installed = basename(path).replace(/^[^-]*/, 'config')
  const config =
    (await embeddedConfig(readFileSync(path))) ?? textBeside(path, [installed, '.config', `${TREE}/.config`])
  const builtIn = config === undefined ? textBeside(path, ['modules.builtin', `${TREE}/modules.builtin`]) : undefined
  if (config === undefined && builtIn === undefined) return undefined
  const lacks = needs.filter(([option, name]) =>
    config === undefined
      ? name !== '' && !builtIn!.replaceAll('-', '_').includes(`/${name}.ko`)
      : !config.includes(`\nCONFIG_${option}=y\n`),
  )
  const names = lacks.map(([option]) => `CONFIG_${option}=y`).join(', ')
  return names && `--kernel ${path}: its configuration lacks ${names}; a module is not enough: ${GUIDE}`
}

/** For a kernel that says nothing of its configuration. @param last - the last line that the guest has printed */
export const silentKernel = (path: string, last: string): string =>
  `--kernel ${path}: the guest does not come up${last === '' ? ', and prints nothing' : `; its last line is: ${last}`}; does the configuration have ${Object.keys(
    NEEDS,
  )
    .map((option) => `CONFIG_${option}=y`)
    .join(', ')}? See ${GUIDE}`

async function embeddedConfig(image: Buffer): Promise<string | undefined> {
  const [start, end] = CONFIG_MARKS
  for (const bytes of [image, await kernelPayload(image)]) {
    const at = bytes?.indexOf(start) ?? -1
    if (at < 0) continue
    const packed = bytes!.subarray(at + start.length, bytes!.indexOf(end, at))
    const config = attempt(() => `\n${gunzipSync(packed).toString('latin1')}`)
    if (config !== undefined) return config
  }
  return undefined
}

/** Reads the first existing one of some files beside the kernel. */
function textBeside(path: string, names: readonly string[]): string | undefined {
  const file = names.map((name) => join(dirname(path), name)).find((one) => existsSync(one))
  return file === undefined ? undefined : `\n${readFileSync(file, 'utf8')}`
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
