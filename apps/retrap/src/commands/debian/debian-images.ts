import { readBytes } from '@retrap/linux-guest/host/files'
import { fetchShown } from '../../host/files/fetch-progress.ts'
import type { InputPolicy } from '../../machine/session/serial-input.ts'
import type { NetworkFlags } from '../../machine/network/networks.ts'
import type { ShareFlags } from '../../machine/share/share-options.ts'
import type { MachineImages } from '@retrap/linux-guest/machine/machine-contract'
import type { SessionSettings } from '../../machine/session/session-settings.ts'
import {
  fetchInstaller,
  fetchLinux,
  type DebianOptions,
  type InstallerArchitecture,
  type LinuxArchitecture,
} from '@retrap/linux-guest/linux/debian'
import { fetchLinuxWithDrivers, type LinuxWithDrivers } from '@retrap/linux-guest/linux/debian-drivers'
import { buildInitramfs, SHELL_PROMPT } from '@retrap/linux-guest/linux/initramfs'

/** The kernel that boots by default. */
export const DEBIAN_KERNEL = 'linux-image-cloud-amd64'

/** The usual kernel, and the serial port that is its console, by architecture. */
const USUAL: Readonly<Record<LinuxArchitecture, { readonly kernel: string; readonly console: string }>> = {
  amd64: { kernel: DEBIAN_KERNEL, console: 'ttyS0' },
  arm64: { kernel: 'linux-image-arm64', console: 'ttyAMA0' },
}

/** The kernel or the installer of Debian to start, by options of the command line. */
export interface DebianFlags extends Pick<NetworkFlags, 'netdev' | 'nic'>, Pick<ShareFlags, 'share'> {
  readonly package?: string
  readonly arch?: LinuxArchitecture
  readonly installer?: InstallerArchitecture
  readonly append?: string
  readonly command?: string
  readonly refresh?: boolean
  readonly mirror?: string
}

/** Returns the architecture of the machine's processors. An installer brings its own. */
export const architectureOf = ({ arch, installer }: DebianFlags): LinuxArchitecture =>
  installer === 'arm64' ? installer : (arch ?? 'amd64')

/**
 * Fetches missing files. The usual kernel includes drivers for folders and network cards among the options.
 *
 * @returns the images, and the input to type
 */
export async function linuxImages(
  flags: DebianFlags & { readonly console?: 'serial' | 'xen' },
): Promise<Pick<SessionSettings, 'images' | 'input'>> {
  const options: DebianOptions = {
    refresh: flags.refresh === true,
    ...(flags.mirror === undefined ? {} : { mirror: flags.mirror }),
  }
  const arch = architectureOf(flags)
  const usual = USUAL[arch]
  const console = flags.console === 'xen' ? 'hvc0' : usual.console
  const commandLine = [`console=${console}`, flags.append].filter((part) => part !== undefined).join(' ')
  if (flags.installer !== undefined) {
    const { installer } = flags
    const files = await fetchShown((shown) => fetchInstaller(installer, { ...options, ...shown }))
    const images = async (): Promise<MachineImages> => {
      const [kernel, initrd] = await Promise.all([readBytes(files.kernelPath), readBytes(files.initrdPath)])
      return { kernel, initrd, commandLine }
    }
    return { images, input: { kind: 'pass' } }
  }
  const drivers = [
    ...(flags.share === undefined ? [] : ['virtio_pci', '9pnet_virtio', '9p']),
    ...((flags.nic ?? flags.netdev) === undefined ? [] : ['virtio_pci', 'virtio_net', 'e1000']),
  ]
  const {
    kernelPath,
    busyboxPath,
    modulePaths = [],
  } = await fetchShown<Omit<LinuxWithDrivers, 'modulePaths'> & Partial<LinuxWithDrivers>>(({ onProgress }) =>
    drivers.length > 0 && flags.package === undefined
      ? fetchLinuxWithDrivers(arch, drivers, onProgress)
      : fetchLinux(flags.package ?? usual.kernel, { ...options, onProgress }, arch),
  )
  const images = async (): Promise<MachineImages> => {
    const [kernel, busybox, ...modules] = await Promise.all([kernelPath, busyboxPath, ...modulePaths].map(readBytes))
    return { kernel: kernel!, initrd: buildInitramfs(busybox!, modules), commandLine }
  }
  const input: InputPolicy =
    flags.command === undefined
      ? { kind: 'shell', prompt: SHELL_PROMPT }
      : { kind: 'script', prompt: SHELL_PROMPT, lines: [flags.command, 'poweroff -f'] }
  return { images, input }
}
