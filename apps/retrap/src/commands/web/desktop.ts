/** Systems of the start page that have a screen: Debian with X and a game, and a game that is a kernel of its own. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  cacheDirectory,
  type DistributedMembers,
  type DistributedPackage,
  type FetchDistributedOptions,
  fetchDistributed,
  findKept,
  keep,
} from '@retrap/debian'
import { Screen } from '@retrap/display'
import { unavailable } from '@retrap/linux-guest/linux/debian'
import { busyboxOf, linuxIn } from '@retrap/linux-guest/linux/debian-drivers'
import { buildInitramfs, programFile } from '@retrap/linux-guest/linux/initramfs'
import type { CpioEntry } from '@retrap/linux-guest/linux/cpio'
import { readBytes } from '@retrap/linux-guest/host/files'
import { digestOfGenerator } from '@retrap/linux-guest/machine/generator-digest'
import type { CreateMachine } from '@retrap/linux-guest/machine/machine-contract'
import { fetchShown } from '../../host/files/fetch-progress.ts'
import type { SessionHost } from '../../machine/session/session-host.ts'
import { type MadeSystem, type OfferedSystem, snapshotAtShell } from './debian-system.ts'
import { LICENCE_TEXTS, listPackage, type SitePart } from './packages.ts'

/** Kernel modules by their folders: graphics, pointer and keys, sound. */
const MODULES =
  'drivers/gpu/drm/drm* drivers/gpu/drm/ttm/ttm drivers/gpu/drm/tiny/bochs drivers/input/evdev drivers/input/misc/pcspkr ' +
  'drivers/usb/common/* drivers/usb/core/* drivers/usb/host/xhci-* drivers/hid/hid* drivers/hid/usbhid/* sound/* sound/core/* ' +
  'sound/core/oss/* sound/pci/snd-intel8x0 sound/pci/ac97/*'
const DRIVERS = ['bochs', 'evdev', 'xhci_pci', 'hid_generic', 'usbhid', 'pcspkr', 'snd_intel8x0', 'snd_pcm_oss']

/** Libraries of the server and its clients, by Debian's packages. */
const LIBRARIES =
  'libaudit1 libbrotli1 libbsd0 libbz2-1.0 libc6 libcap-ng0 libcap2 libdbus-1-3 libdrm2 libevdev2 libfontenc1 libfreetype6 ' +
  'libgcrypt20 libgpg-error0 libice6 liblz4-1 liblzma5 libmd0 libmtdev1 libpciaccess0 libpcre2-8-0 libpixman-1-0 ' +
  'libpng16-16 libselinux1 libsm6 libsystemd0 libudev1 libunwind8 libuuid1 libx11-6 libxau6 libxaw7 libxcb1 libxcvt0 ' +
  'libxdmcp6 libxext6 libxfont2 libxkbfile1 libxmu6 libxpm4 libxshmfence1 libxt6 libzstd1 zlib1g'

const KERNEL: DistributedMembers = {
  package: 'linux-image-amd64',
  members: ['./boot/vmlinuz-*', ...MODULES.split(' ').map((path) => `./lib/modules/*/kernel/${path}.ko`)],
  dependency: 'linux-image-',
  suffix: '-unsigned',
}
const INVADERS: DistributedMembers = { package: 'grub-invaders', members: ['./boot/invaders.exec'] }
const XORG = './usr/lib/xorg'
const XKB = './usr/share/X11/xkb'
const PROGRAMS: readonly DistributedMembers[] = [
  {
    package: 'xserver-xorg-core',
    members: [`${XORG}/Xorg`, `${XORG}/modules/drivers/modesetting_drv.so`, `${XORG}/modules/libshadow.so`],
  },
  { package: 'xserver-xorg-input-evdev', members: [`${XORG}/modules/input/evdev_drv.so`] },
  { package: 'x11-xkb-utils', members: ['./usr/bin/xkbcomp'] },
  {
    package: 'xkb-data',
    members: ['rules/base', 'rules/evdev', 'keycodes', 'types', 'compat', 'symbols', 'geometry/pc'].map(
      (x) => `${XKB}/${x}`,
    ),
  },
  { package: 'libx11-data', members: ['locale.*', 'compose.dir', 'C'].map((name) => `./usr/share/X11/locale/${name}`) },
  { package: 'twm', members: ['./usr/bin/twm'] },
  { package: 'xbill', members: ['./usr/games/xbill', './usr/share/xbill', './var/games'] },
  ...LIBRARIES.split(' ').map((name) => ({
    package: name,
    members: name === 'libc6' ? ['./lib/*.so*', './lib64'] : ['./*lib/*.so*'],
  })),
]

/** The server's configuration: the screen, the keyboard and the tablet, without a service that finds them. */
const XORG_CONF = `
Section "ServerFlags" Option "AutoAddDevices" "off" Option "BlankTime" "0" EndSection
Section "Files" FontPath "built-ins" EndSection
Section "Module" Disable "glx" EndSection
Section "InputDevice" Identifier "keys" Driver "evdev" Option "Device" "/dev/input/keys" EndSection
Section "InputDevice" Identifier "pointer" Driver "evdev" Option "Device" "/dev/input/pointer" EndSection
Section "Monitor" Identifier "monitor" Option "PreferredMode" "800x600" EndSection
Section "Device" Identifier "card" Driver "modesetting" Option "AccelMethod" "none" Option "ShadowFB" "off" EndSection
Section "Screen" Identifier "screen" Device "card" Monitor "monitor" EndSection
Section "ServerLayout" Identifier "layout" Screen "screen"
  InputDevice "keys" "CoreKeyboard" InputDevice "pointer" "CorePointer" EndSection
`

/** The window manager's configuration: windows show while they move, and the root window has a menu. */
const TWMRC = `RandomPlacement OpaqueMove NoGrabServer BorderWidth 1 FramePadding 4 TitlePadding 6
Color {
  DefaultBackground "#e8eaee" DefaultForeground "#1d2430" BorderColor "#2f5d8c"
  TitleBackground "#2f5d8c" TitleForeground "#ffffff" MenuTitleBackground "#2f5d8c" MenuTitleForeground "#ffffff"
}
Button1 = : root : f.menu "main"
Button3 = : root : f.menu "main"
Button1 = : title : f.move
Button1 = : icon : f.iconify
menu "main" {
  "Debian"         f.title
  "Another window" !"xbill &"
  "Play a tune"    !"cat /etc/tune >/dev/dsp &"
  "Beep"           !"printf '\\\\a' >/dev/tty0"
}
`

/** Starts X, and waits until neither the server nor the game has had work for some seconds: the first picture is complete. */
const START = `export PATH=/bin:/usr/bin:/usr/games DISPLAY=:0
mkdir /tmp/.X11-unix
found() { [ -e /dev/input/pointer ] && [ -e /dev/input/keys ]; }
until found; do
  for event in /sys/class/input/event*; do
    case $(cat $event/device/name) in
    *Tablet*) ln -sf \${event##*/} /dev/input/pointer ;;
    AT*) ln -sf \${event##*/} /dev/input/keys ;;
    esac
  done
  found || sleep 0.2
done
/usr/lib/xorg/Xorg -config /etc/xorg.conf -logfile /tmp/x.log :0 vt2 >/dev/null 2>&1 &
server=$!
until [ -S /tmp/.X11-unix/X0 ]; do sleep 0.2; done
twm -f /etc/twmrc &
sleep 1
xbill 2>/tmp/game.log &
game=$!
work() { for process in $server $game; do cut -d' ' -f3,14,15 /proc/$process/stat; done; }
still=0
until [ $still = 3 ]; do
  before=$(work)
  sleep 2
  [ -d /proc/$game ] || { grep EE /tmp/x.log; cat /tmp/game.log; poweroff -f; }
  [ "$(work)" = "$before" ] && [ "\${before#*R}" = "$before" ] && still=$((still + 1)) || still=0
done
`

/** Half a second of each note: samples of 8 bits, 8000 a second, as /dev/dsp takes them. */
const TUNE = Uint8Array.from({ length: 4 * 4000 }, (_, i) => {
  const [hertz, at] = [[523, 659, 784, 1047][Math.floor(i / 4000)]!, i % 4000]
  return 128 + 90 * Math.exp(-at / 1500) * Math.sin((2 * Math.PI * hertz * at) / 8000)
})

const COMMAND_LINE = 'console=tty0 console=ttyS0 quiet video=800x600 init_on_free=1'
const MIB = 1 << 20

/** Fetched packages: the kernel, busybox and the game that is a kernel first, and the texts of licences. */
interface FetchedDesktop {
  readonly packages: readonly DistributedPackage[]
  readonly licenceTexts: DistributedPackage
}

/** Finds the packages in the cache, or fetches them. @throws CliError `ERR_FETCH` without a network */
async function fetchDesktop(options: FetchDistributedOptions): Promise<FetchedDesktop> {
  const found = await fetchDistributed(
    [LICENCE_TEXTS, INVADERS, KERNEL, busyboxOf('amd64'), ...PROGRAMS],
    options,
  ).catch(unavailable)
  const [licenceTexts, ...packages] = found
  return { packages, licenceTexts: licenceTexts! }
}

/** The files of packages, as entries of an archive. Libraries are below /usr alone. */
function entriesOf(folders: readonly string[]): CpioEntry[] {
  const entries = new Map<string, CpioEntry>()
  const addFolder = (path: string): void => {
    if (path === '.' || entries.has(path)) return
    addFolder(dirname(path))
    entries.set(path, { kind: 'directory', path })
  }
  for (const folder of folders)
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const from = join(entry.parentPath, entry.name)
      const path = relative(folder, from).replace(/^lib/, 'usr/lib')
      if (entry.isDirectory() || !/^(usr|var)\/(?!share\/doc\/)/.test(path)) continue
      addFolder(dirname(path))
      if (entry.isSymbolicLink()) entries.set(path, { kind: 'symlink', path, target: readlinkSync(from) })
      else entries.set(path, { kind: 'file', path, mode: lstatSync(from).mode & 0o755, data: readFileSync(from) })
    }
  for (const path of ['var/lib/xkb', 'var/log']) addFolder(path)
  for (const path of ['lib', 'lib64']) entries.set(path, { kind: 'symlink', path, target: `usr/${path}` })
  return [...entries.values()]
}

/** The page's options of the desktop. */
const PAGE = { vga: 'std', tablet: true, sound: true } as const

/** Boots Debian with X to its first picture, and saves the machine. The start page offers the snapshot. */
async function makeDesktop(
  [, kernel, busybox, ...others]: readonly DistributedPackage[],
  createMachine: CreateMachine,
) {
  const linux = linuxIn(kernel!.folder, busybox!.folder, DRIVERS)
  const modules = await Promise.all(linux.modulePaths.map(readBytes))
  const archive = buildInitramfs(await readBytes(linux.busyboxPath), modules, {
    isKept: true,
    files: [
      ...entriesOf(others.map(({ folder }) => folder)),
      ...[programFile('etc/xorg.conf', XORG_CONF), programFile('etc/twmrc', TWMRC), programFile('etc/tune', TUNE)],
    ],
    script: START,
  })
  const images = { kernel: await readBytes(linux.kernelPath), initrd: new Uint8Array(gzipSync(archive)) }
  const snapshot = await snapshotAtShell(
    {
      ...{ ...images, architecture: 'amd64', commandLine: COMMAND_LINE, page: PAGE },
      devices: () => ({
        ...{ vga: 'std', screen: new Screen(), usb: { devices: [{ kind: 'tablet' }] }, sound: [{ model: 'ac97' }] },
      }),
      arguments: ['--vga', 'std', ...['qemu-xhci', 'usb-tablet', 'AC97'].flatMap((name) => ['--device', name])],
    },
    createMachine,
  )
  return { 'machine.snapshot': snapshot, vmlinuz: images.kernel, initrd: images.initrd }
}

const FOLDER = 'systems/desktop'
const GAME = 'systems/invaders/invaders.exec'

/**
 * The systems with a screen. The snapshot is made once: as long as the packages, and the machine, are the same.
 *
 * @param tell - gets sentences about the progress
 */
async function desktopSystems(
  { packages }: Pick<FetchedDesktop, 'packages'>,
  createMachine: CreateMachine,
  tell: (text: string) => void,
): Promise<readonly MadeSystem[]> {
  const [invaders] = packages
  const game = await readBytes(join(invaders!.folder, 'boot', 'invaders.exec'))
  const versions = packages.map(({ name, version }) => `${name} ${version}`)
  const hash = createHash('sha256').update(JSON.stringify([versions, XORG_CONF, TWMRC, START, COMMAND_LINE]))
  const madeOf = hash.update(digestOfGenerator('@retrap/machine', import.meta.url)).digest('hex')
  const name = join('debian-12', 'desktop')
  const isCurrent = (await findKept<{ readonly madeOf: string }>(cacheDirectory(), name))?.data.madeOf === madeOf
  const make = async (folder: string): Promise<{ readonly madeOf: string }> => {
    const begun = performance.now()
    const shown = setInterval(
      () => tell(`booting Debian with X, ${Math.round((performance.now() - begun) / 1000)} s`),
      10_000,
    )
    try {
      tell('booting Debian with X, once, for the start page …')
      const files = await makeDesktop(packages, createMachine)
      await mkdir(folder, { recursive: true })
      for (const [path, bytes] of Object.entries(files)) await writeFile(join(folder, path), bytes)
    } finally {
      clearInterval(shown)
    }
    return { madeOf }
  }
  const { folder } = await keep({ name, refresh: !isCurrent, make })
  const files = new Map<string, Uint8Array>()
  for (const path of ['machine.snapshot', 'vmlinuz', 'initrd'])
    files.set(`${FOLDER}/${path}`, await readBytes(join(folder, path)))
  const bytes = [...files.values()].reduce((sum, { length }) => sum + length, 0)
  tell(`Debian with X is ${Math.round(bytes / MIB)} MiB`)
  const desktop: OfferedSystem = {
    title: 'Debian with X',
    description: 'A desktop with one window: XBill, a game for the mouse. The menu of the background has more.',
    bytes: files.get(`${FOLDER}/machine.snapshot`)!.length,
    options: {
      ...{ ...PAGE, commandLine: COMMAND_LINE },
      snapshot: `${FOLDER}/machine.snapshot`,
      kernel: `${FOLDER}/vmlinuz`,
      initrd: `${FOLDER}/initrd`,
    },
  }
  const invadersSystem: OfferedSystem = {
    title: 'Invaders',
    description: 'A game that is a kernel of its own, in text mode.',
    bytes: game.length,
    options: { vga: 'std', memoryBytes: 16 * MIB, kernel: GAME },
  }
  return [
    { system: desktop, files },
    { system: invadersSystem, files: new Map([[GAME, game]]) },
  ]
}

/** Lists the packages of the systems, with the texts and sources that their licences require. */
async function listDesktop(
  [desktop, invaders]: readonly MadeSystem[],
  { packages, licenceTexts }: FetchedDesktop,
): Promise<SitePart> {
  const [game, kernel, ...others] = packages
  const list = async (one: DistributedPackage, purpose: string, files: ReadonlyMap<string, Uint8Array>) =>
    listPackage(one, { purpose, files, licenceTexts })
  const part = new Map([...desktop!.files].filter(([path]) => !path.endsWith('vmlinuz')))
  const parts = [
    await list(game!, 'The game Invaders, unmodified.', invaders!.files),
    await list(kernel!, 'Linux, unmodified, with modules, of the desktop; the snapshot has its RAM.', desktop!.files),
  ]
  for (const one of others)
    parts.push(await list(one, 'A part of the desktop, unmodified, in its initial RAM disk and in its snapshot.', part))
  return {
    packages: parts.flatMap((each) => each.packages),
    files: new Map(parts.flatMap((each) => [...each.files])),
  }
}

/** Files for a site with the packages that they are from, and systems for its list. */
export interface DesktopPart {
  readonly part: SitePart
  readonly offered: readonly OfferedSystem[]
}

/**
 * Makes the systems with a screen, for a site.
 *
 * @param withSources - fetches the sources that redistribution requires
 */
export async function desktopPart(
  { stderr, createMachine }: Pick<SessionHost, 'stderr' | 'createMachine'>,
  withSources: boolean,
): Promise<DesktopPart> {
  const fetched = await fetchShown(({ onProgress }) => fetchDesktop({ withSources, onProgress }))
  const tell = (text: string): void => void stderr.write(`retrap: ${text}\n`)
  const made = await desktopSystems(fetched, createMachine, tell)
  const { files, packages } = await listDesktop(made, fetched)
  const all = new Map([...files, ...made.flatMap((one) => [...one.files])])
  return { part: { files: all, packages }, offered: made.map(({ system }) => system) }
}
