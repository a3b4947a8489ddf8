import type { Role } from './settings.ts'

/** Bytes at a file's start that identify its format: a CD's signature lies after 32 KiB. */
const HEAD_BYTES = 0x8800
const MULTIBOOT_BYTES = 8192
const MOST_FIRMWARE_BYTES = 8 << 20

/** Sizes of floppy disks, 5¼″ and 3½″. Source: ECMA-99, ECMA-100, ECMA-125 and PCs' own formats. */
const FLOPPY_KIB = [160, 180, 320, 360, 720, 1200, 1440, 2880]

/** Files that a machine has no use for, by how they begin. Sources: PDF 32000-1, 7.5.2; PKWARE APPNOTE, 4.3; POSIX, pax, "ustar". */
const OTHERS: readonly (readonly [at: number, begins: string, name: string])[] = [
  [0, '%PDF-', 'a PDF document'],
  [0, 'PK\u0003\u0004', 'a zip archive: unpack it first'],
  [0, '7z\u00bc\u00af', 'a 7z archive: unpack it first'],
  [0, 'Rar!', 'a RAR archive: unpack it first'],
  [257, 'ustar', 'a tar archive: unpack it first'],
  [0, '\u0089PNG', 'a picture'],
  [0, '\u00ff\u00d8\u00ff', 'a picture'],
  [0, 'GIF8', 'a picture'],
  [0, 'MZ', 'a program for Windows or UEFI'],
  [0, 'KDMV', 'a VMDK image: make a qcow2 image of it (qemu-img convert -O qcow2)'],
  [0, 'vhdxfile', 'a VHDX image: make a qcow2 image of it (qemu-img convert -O qcow2)'],
  [0, 'conectix', 'a VHD image: make a qcow2 image of it (qemu-img convert -O qcow2)'],
  [0, '<<< ', 'a VDI image: make a qcow2 image of it (qemu-img convert -O qcow2)'],
]
/** Compressed disk images, which are not initial RAM disks whatever their compression. */
const PACKED_IMAGE = /\.(?:iso|img|raw|bin|qcow2?|vmdk|vhdx?|vdi)\.\w+$/i

/** An image for a machine, or why a file is none. */
export type Examined = { readonly role: Role; readonly source: File } | { readonly refused: string }

/** Tells the use of a file by its contents. A file that gzip has packed is unpacked, but for an initial RAM disk, which Linux unpacks. */
export async function examine(file: File): Promise<Examined> {
  const refuse = (what: string): Examined => ({ refused: `${file.name} is ${what}.` })
  if (file.size === 0) return refuse('empty')
  const [head, end] = await Promise.all([bytesOf(file.slice(0, HEAD_BYTES)), bytesOf(file.slice(-16))])
  const role = roleOf(head, end, file.size)
  if (role === 'initrd' && isGzip(head)) return unpack(file, refuse)
  if (role === 'initrd' && PACKED_IMAGE.test(file.name)) return refuse('compressed: unpack it first')
  const isUnknown = role === 'disk' || role === 'floppy' || role === 'firmware'
  const other = OTHERS.find(([at, begins]) => hasText(head, at, begins))
  if (isUnknown && other !== undefined) return refuse(other[2])
  return isUnknown && isText(head) ? refuse('a text') : { role, source: file }
}

const bytesOf = async (blob: Blob): Promise<Uint8Array> => new Uint8Array(await blob.arrayBuffer())

const isGzip = (head: Uint8Array): boolean => head[0] === 0x1f && head[1] === 0x8b

async function unpack(file: File, refuse: (what: string) => Examined): Promise<Examined> {
  const unpacked = (): ReadableStream<Uint8Array<ArrayBuffer>> =>
    file.stream().pipeThrough(new DecompressionStream('gzip'))
  try {
    const reader = unpacked().getReader()
    const first = (await reader.read()).value
    reader.cancel().catch(() => {})
    if (first !== undefined && hasText(first, 0, '070701')) return { role: 'initrd', source: file }
    // Large files are the browser's to keep: not in the page's memory.
    const whole = await new Response(unpacked()).blob()
    return await examine(new File([whole], file.name.replace(/\.gz$/i, ''), { lastModified: file.lastModified }))
  } catch {
    return refuse('damaged: gzip cannot unpack it')
  }
}

const hasText = (bytes: Uint8Array, at: number, expected: string): boolean =>
  [...expected].every((character, i) => bytes[at + i] === character.charCodeAt(0))

/** Whether bytes are a text in UTF-8, whose last character may be cut off. */
function isText(head: Uint8Array): boolean {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    // oxlint-disable-next-line no-control-regex -- control characters are the question
    return !/[\0-\u0008\u000e-\u001a\u001c-\u001f\u007f]/.test(text)
  } catch {
    return false
  }
}

/** The bytes at which a file's use is known. */
const STARTS: readonly (readonly [at: number, begins: string, role: Role])[] = [
  [0x38, 'ARMd', 'kernel'],
  [4, 'zimg', 'kernel'],
  [0x202, 'HdrS', 'kernel'],
  [0, '\u007fELF', 'kernel'],
  [0, '\u0089retrec\n', 'recording'],
  [0x8001, 'CD001', 'cdrom'],
  [0, 'QFI\u00fb', 'disk'],
  [0, '\u001f\u008b', 'initrd'],
  [0, '(\u00b5/\u00fd', 'initrd'],
  [0, '\u00fd7zXZ', 'initrd'],
  [0, 'BZh', 'initrd'],
  [0, '070701', 'initrd'],
]

/**
 * Guesses the purpose of a file.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, "HdrS", and Documentation/arch/arm64/booting.rst; System V ABI, ELF header; Multiboot Specification, 3.1.1; ECMA-119,
 * 8.1.2, "Standard Identifier"; RFC 1952 and RFC 8878 for compressed files, cpio(5).
 *
 * @param head - its beginning
 * @param end - its last 16 bytes
 */
function roleOf(head: Uint8Array, end: Uint8Array, bytes: number): Role {
  const role = STARTS.find(([at, begins]) => hasText(head, at, begins))?.[2]
  if (role === 'kernel' || hasMultiboot(head)) return 'kernel'
  if (hasText(head, 0, 'run.json\0') && hasText(head, 257, 'ustar')) return 'cluster'
  if (role !== undefined) return role
  // An option ROM names its length in units of 512 bytes.
  if (hasText(head, 0, '\u0055\u00aa') && bytes <= 1 << 17) return 'vgaBios'
  // Firmware ends with a jump from where the processor starts.
  if (bytes % 0x1_0000 === 0 && bytes <= MOST_FIRMWARE_BYTES && [0xea, 0xe9, 0xeb, 0x90].includes(end[0] ?? 0))
    return 'firmware'
  return FLOPPY_KIB.some((kib) => kib * 1024 === bytes) ? 'floppy' : 'disk'
}

function hasMultiboot(head: Uint8Array): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  for (let at = 0; at + 12 <= Math.min(head.length, MULTIBOOT_BYTES); at += 4) {
    if (view.getUint32(at, true) !== 0x1bad_b002) continue
    if ((view.getUint32(at + 4, true) + view.getUint32(at + 8, true) + 0x1bad_b002) >>> 0 === 0) return true
  }
  return false
}
