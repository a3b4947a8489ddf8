import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Apt, keep, unpackPackage, withScratchFolder, cacheDirectory } from '@retrap/debian'
import type { LinuxArchitecture } from '@retrap/linux-guest/linux/debian'
import { type DiskLinux, linuxWith } from './disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from './first-process.ts'
import { sha256 } from './sha256.ts'

/** A small Debian with systemd: what every system has, which no package depends on, and what a boot needs. */
const PACKAGES = [
  ...['base-files', 'base-passwd', 'bash', 'bsdutils', 'coreutils', 'dash', 'debianutils', 'diffutils', 'findutils'],
  ...['grep', 'gzip', 'hostname', 'init-system-helpers', 'libc-bin', 'libpam-runtime', 'login', 'mawk', 'mount'],
  ...['ncurses-base', 'passwd', 'procps', 'sed', 'tar', 'util-linux'],
  ...['systemd-sysv', 'udev', 'kmod', 'e2fsprogs', 'dbus'],
]

/** The password of root is `retrap` (crypt(3), SHA-512). */
const PASSWORD = '$6$retrap$zkdQDL3Six5SYrCU81yC12Adn8Sqo5H/MBG04oXVEdnRYdj0X.aFg.BqRqhiQlKgLge0CL9/Hc.M7d.OyNT3v/'

/** Folders that Debian's packages still name beside `/usr`, and which are links into it. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64']
const NEEDLESS = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info']

/** What the packages' scripts would have written. */
const FILES: Readonly<Record<string, string>> = {
  'etc/hostname': 'retrap\n',
  'etc/hosts': '127.0.0.1 localhost retrap\n',
  'etc/machine-id': '',
  'etc/fstab': '',
  'etc/shadow': `root:${PASSWORD}:19000:0:99999:7:::\n`,
  'etc/pam.d/common-auth': 'auth required pam_unix.so\n',
  'etc/pam.d/common-account': 'account required pam_unix.so\n',
  'etc/pam.d/common-password': 'password required pam_unix.so\n',
  'etc/pam.d/common-session': 'session required pam_unix.so\nsession optional pam_systemd.so\n',
  'etc/pam.d/common-session-noninteractive': 'session required pam_unix.so\n',
}
const MESSAGE_BUS = 'messagebus:x:100:100::/nonexistent:/usr/sbin/nologin\n'

/** Packages and all that they depend on, as archives in a folder. */
export async function debianArchives(
  packages: readonly string[],
  architecture: LinuxArchitecture = 'amd64',
): Promise<string> {
  const digest = sha256(packages.join()).slice(0, 12)
  const { folder } = await keep({
    name: join('debian-12', `closure-${architecture === 'amd64' ? '' : `${architecture}-`}${digest}`),
    trustTimes: true,
    make: (files) =>
      withScratchFolder(cacheDirectory(), async (scratch) => {
        const directory = join(scratch, 'apt')
        const apt = await Apt.open({ directory, withoutSecurity: true, architectures: [architecture] })
        mkdirSync(files, { recursive: true })
        const paths = await apt.downloadClosure(packages)
        await Promise.all(paths.map((path) => copyFile(path, join(files, basename(path)))))
        return { archives: paths.map((path) => basename(path)) }
      }),
  })
  return folder
}

/** The archives of such a Debian's packages. */
export const rootArchives = (more: readonly string[] = [], architecture?: LinuxArchitecture): Promise<string> =>
  debianArchives([...PACKAGES, ...more], architecture)

/**
 * Puts a Debian 12 into a folder, as a root file system of which the root user can log in by the password `retrap`.
 *
 * @param more - further packages
 * @returns false where there is no apt to fetch it with
 */
export async function makeDebianRoot(
  folder: string,
  more: readonly string[] = [],
  architecture?: LinuxArchitecture,
): Promise<boolean> {
  if (!(await Apt.isAvailable())) return false
  const archives = await rootArchives(more, architecture)
  for (const path of globSync(join(archives, '*.deb')).toSorted()) await unpackPackage(path, folder)
  for (const name of MERGED) {
    // Arm has no lib64.
    if (!existsSync(join(folder, name))) continue
    mkdirSync(join(folder, 'usr', name), { recursive: true })
    cpSync(join(folder, name), join(folder, 'usr', name), { recursive: true, verbatimSymlinks: true })
    rmSync(join(folder, name), { recursive: true })
    symlinkSync(join('usr', name), join(folder, name))
  }
  for (const name of NEEDLESS) rmSync(join(folder, name), { recursive: true, force: true })
  for (const [path, text] of Object.entries(FILES)) writeFileSync(join(folder, path), text)
  for (const [name, line] of [
    ['passwd', MESSAGE_BUS],
    ['group', 'messagebus:x:100:\n'],
  ] as const) {
    // Passwords are in the shadow file.
    const master = readFileSync(join(folder, `usr/share/base-passwd/${name}.master`), 'utf8')
    writeFileSync(join(folder, 'etc', name), master.replace('root:*:', 'root:x:') + line)
  }
  return true
}

/** The first process: takes the first disk that is a whole file system with an init as the root. */
const INIT = `${FIRST_PROCESS}/drivers
for turn in 1 2 3 4 5 6 7 8 9; do
  for disk in /dev/vd[ab] /dev/sd[ab] /dev/nvme[01]n1 /dev/vda2 /dev/sda2 /dev/nvme0n1p2; do
    mount -t ext4 $disk /mnt 2>/dev/null || continue
    [ -e /mnt/usr/lib/systemd/systemd ] && break 2
    umount /mnt
  done
  sleep 1
done
mount --move /proc /mnt/proc
mount --move /sys /mnt/sys
mount --move /dev /mnt/dev
exec switch_root /mnt /sbin/init
`

/** How the kernel is told to start the process above. */
export const ROOT_COMMAND_LINE = `${TO_DEVICES} rdinit=/auto`

const DRIVERS = [
  ...['ata_piix', 'ahci', 'sd_mod', 'nvme', 'virtio_pci', 'virtio_blk', 'virtio_scsi', 'crc32c_generic', 'ext4'],
  ...['xhci_pci', 'usb_storage', 'virtio_net', 'button', 'evdev'],
]
const FOLDERS = [
  ...['block', 'drivers/ata', 'drivers/scsi', 'drivers/block', 'drivers/nvme', 'drivers/virtio', 'fs/ext4'],
  ...['drivers/net/virtio_net.ko', 'drivers/net/net_failover.ko', 'net/core/failover.ko'],
  ...['drivers/acpi/button.ko', 'drivers/input/evdev.ko', 'drivers/usb'],
]

/** Drivers of the Arm board's devices, in place of those of a PC's. */
const ARM_DRIVERS = ['gpio_keys', 'bochs', 'usbhid', 'hid_generic', 'efivarfs']
const ARM_FOLDERS = [
  ...FOLDERS.filter((path) => !path.startsWith('drivers/acpi/')),
  ...['drivers/input/keyboard/gpio_keys.ko', 'drivers/gpu/drm', 'drivers/hid/usbhid', 'drivers/hid/hid*.ko'],
  ...['fs/efivarfs', 'arch'],
]

/** Debian's kernel with drivers for all our disks, and an initial RAM disk that starts the system on one of them. */
export function rootLinux(architecture: LinuxArchitecture = 'amd64'): Promise<DiskLinux | undefined> {
  const isArm = architecture === 'arm64'
  const folders = [...(isArm ? ARM_FOLDERS : FOLDERS), 'fs/jbd2', 'fs/mbcache.ko', 'crypto', 'lib']
  const members = ['./boot/vmlinuz-*', ...folders.map((path) => `./lib/modules/*/kernel/${path}`)]
  const suffix = isArm ? ':arm64' : ''
  return linuxWith(
    isArm ? [...DRIVERS, ...ARM_DRIVERS] : DRIVERS,
    INIT,
    { package: `linux-image-${architecture}${suffix}`, members, dependency: 'linux-image-' },
    `busybox-static${suffix}`,
  )
}
