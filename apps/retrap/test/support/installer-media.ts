import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { makeIso } from './boot-media.ts'

/** Which of the installer's front ends. */
export type InstallerKind = 'text' | 'gtk'

const EL_TORITO = ['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table']

/** Folders of packages, or undefined where there is no apt. */
async function folders(...wanted: readonly (readonly [name: string, member: string])[]): Promise<readonly string[]> {
  const found = await debianMembers(wanted.map(([name, member]) => ({ package: name, members: [member] })))
  if (found === undefined) throw new Error('there is no apt to fetch Debian with')
  return found
}

/** The files that Debian's installer boots from a network with. */
export async function installerFiles(kind: InstallerKind): Promise<string> {
  const [files = ''] = await folders(['debian-installer-12-netboot-amd64', './usr/lib/debian-installer/*'])
  return join(files, 'usr/lib/debian-installer/images/12/amd64', kind)
}

/**
 * A disc of Debian's installer.
 *
 * @param start - `menu`: ISOLINUX shows the installer's own menu and waits; `installer`: it starts the installer
 */
export async function makeInstallerDisc(
  scratch: string,
  kind: InstallerKind,
  start: 'menu' | 'installer',
): Promise<string> {
  const [isolinux = ''] = await folders(['isolinux', './usr/lib/ISOLINUX/isolinux.bin'])
  const root = join(scratch, `disc-${kind}-${start}`)
  const path = `${root}.iso`
  if (existsSync(path)) return path
  mkdirSync(root)
  const files = await installerFiles(kind)
  cpSync(join(files, 'debian-installer'), join(root, 'debian-installer'), { recursive: true, dereference: true })
  cpSync(join(isolinux, 'usr/lib/ISOLINUX/isolinux.bin'), join(root, 'isolinux.bin'))
  const screens = 'debian-installer/amd64/boot-screens'
  cpSync(join(root, screens, 'ldlinux.c32'), join(root, 'ldlinux.c32'))
  const direct = `default install\nprompt 0\ntimeout 1\nlabel install\n  kernel debian-installer/amd64/linux\n  append vga=788 initrd=debian-installer/amd64/initrd.gz --- quiet\n`
  writeFileSync(join(root, 'isolinux.cfg'), start === 'installer' ? direct : `include ${screens}/syslinux.cfg\n`)
  makeIso(path, root, ['-b', 'isolinux.bin', '-c', 'boot.cat', ...EL_TORITO])
  return path
}

/** A folder that a network boot of the installer reads: PXELINUX, its menus, kernel and initial RAM disk. */
export async function makeBootFolder(scratch: string, kind: InstallerKind): Promise<string> {
  const root = join(scratch, `tftp-${kind}`)
  // Links would lead out of the folder, where nothing is for guests.
  if (!existsSync(root)) execFileSync('cp', ['-rL', await installerFiles(kind), root])
  return root
}

/** iPXE's own disc. */
export async function ipxeDisc(): Promise<string> {
  const [ipxe = ''] = await folders(['ipxe', './usr/lib/ipxe/*'])
  return join(ipxe, 'usr/lib/ipxe/ipxe.iso')
}

/** A disc from which ISOLINUX starts Memtest86+. */
export async function makeMemtestDisc(scratch: string): Promise<string> {
  const [isolinux = '', common = '', memtest = ''] = await folders(
    ['isolinux', './usr/lib/ISOLINUX/isolinux.bin'],
    ['syslinux-common', './usr/lib/syslinux/modules/bios/ldlinux.c32'],
    ['memtest86+', './boot/*'],
  )
  const root = join(scratch, 'disc-memtest')
  mkdirSync(root, { recursive: true })
  cpSync(join(isolinux, 'usr/lib/ISOLINUX/isolinux.bin'), join(root, 'isolinux.bin'))
  cpSync(join(common, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(root, 'ldlinux.c32'))
  cpSync(join(memtest, 'boot/memtest86+x64.bin'), join(root, 'memtest'))
  writeFileSync(join(root, 'isolinux.cfg'), 'default memtest\nprompt 0\nlabel memtest\n  kernel memtest\n')
  makeIso(`${root}.iso`, root, ['-b', 'isolinux.bin', '-c', 'boot.cat', ...EL_TORITO])
  return `${root}.iso`
}

const GRUB_MODULES = [
  'biosdisk',
  'iso9660',
  'normal',
  'configfile',
  'font',
  'vbe',
  'gfxterm',
  'gfxterm_background',
  'png',
]
const GRUB_MENU = `loadfont /font.pf2
set gfxmode=800x600
terminal_output gfxterm
background_image /splash.png
set timeout=-1
menuentry 'Debian GNU/Linux' { true }
menuentry 'Advanced options' { true }
menuentry 'Memory test' { true }
`

/** A disc with GRUB's menu, drawn in a graphics mode. */
export async function makeGrubDisc(scratch: string): Promise<string> {
  const [grub = ''] = await folders(['grub-pc-bin', './usr/lib/grub/i386-pc/*'])
  const modules = join(grub, 'usr/lib/grub/i386-pc')
  const root = join(scratch, 'disc-grub')
  mkdirSync(join(root, 'boot/grub'), { recursive: true })
  const core = join(scratch, 'core.img')
  execFileSync('grub-mkimage', ['-O', 'i386-pc', '-d', modules, '-p', '/boot/grub', '-o', core, ...GRUB_MODULES])
  const image = Buffer.concat([readFileSync(join(modules, 'cdboot.img')), readFileSync(core)])
  writeFileSync(join(root, 'boot/grub/eltorito.img'), image)
  writeFileSync(join(root, 'boot/grub/grub.cfg'), GRUB_MENU)
  const files = join(await installerFiles('text'), 'debian-installer/amd64')
  cpSync(join(files, 'grub/font.pf2'), join(root, 'font.pf2'), { dereference: true })
  cpSync(join(files, 'boot-screens/splash.png'), join(root, 'splash.png'), { dereference: true })
  makeIso(`${root}.iso`, root, ['-b', 'boot/grub/eltorito.img', '-c', 'boot.cat', ...EL_TORITO])
  return `${root}.iso`
}
