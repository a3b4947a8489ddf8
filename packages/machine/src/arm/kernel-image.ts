import { decompress, viewOf } from '@retrap/basics'
import { hex, LoaderError } from '../loaders/errors.ts'

// The header of an Image (Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image").
const TEXT_OFFSET = 0x08
const IMAGE_SIZE = 0x10
const FLAGS = 0x18
const MAGIC = 0x38
const HEADER_BYTES = 0x40
/** "ARM\x64". */
const MAGIC_VALUE = 0x644d_5241
const FLAG_BIG_ENDIAN = 1
const DEFAULT_TEXT_OFFSET = 0x8_0000
/** Describes a decompressed Image in error messages. */
const AN_IMAGE = `an arm64 Image, which has 41 52 4d 64 ("ARMd") at byte ${hex(MAGIC)}`
/** Text for messages: the kernels that are loaded. */
export const ARM_KERNELS: string = `${AN_IMAGE} and may be compressed, or an ELF file for AArch64; link flat code as ELF`
/** Alignment of the address from which an Image counts its load offset. */
export const IMAGE_ALIGNMENT = 0x20_0000

// The header of a compressed EFI image (a kernel built with Linux' CONFIG_EFI_ZBOOT): behind `MZ` a magic number of its own,
// then the payload's offset and size, and the name of the compression.
const ZBOOT_MAGIC = 0x04
const ZBOOT_MAGIC_VALUE = 0x676d_697a
const ZBOOT_PAYLOAD_OFFSET = 0x08
const ZBOOT_PAYLOAD_BYTES = 0x0c
const ZBOOT_METHOD = 0x18
const ZBOOT_METHOD_END = 0x38
const DOS_MAGIC = 0x5a4d
const GZIP_MAGIC = 0x8b1f

/** Decompresses until `bytes` are available. @returns the decompressed bytes, at most `bytes` */
export type Decompress = (data: Uint8Array, bytes: number) => Promise<Uint8Array>

/** The fields of an Image's header. */
export interface ImageHeader {
  /** Bytes between a multiple of 2 MiB and the first byte of the image. */
  readonly textOffset: number
  /** RAM that the kernel needs from its first byte on. */
  readonly imageBytes: number
}

/** Whether a file is compressed by gzip. */
export const isGzip = (file: Uint8Array): boolean => file.length >= 2 && viewOf(file).getUint16(0, true) === GZIP_MAGIC

/** Whether a file is an uncompressed Image. */
export const isImage = (file: Uint8Array): boolean =>
  file.length >= HEADER_BYTES && viewOf(file).getUint32(MAGIC, true) === MAGIC_VALUE

/** @throws LoaderError naming the field that cannot be booted */
export function parseImage(file: Uint8Array): ImageHeader {
  const view = viewOf(file)
  const flags = view.getUint32(FLAGS, true)
  if ((flags & FLAG_BIG_ENDIAN) !== 0) throw new LoaderError('ERR_FIELD', 'flags', flags, 'bit 0 clear: little-endian')
  const size = view.getBigUint64(IMAGE_SIZE, true)
  // Before Linux 3.17 there were no sizes, and the offset had no byte order that could be relied on.
  if (size === 0n) return { textOffset: DEFAULT_TEXT_OFFSET, imageBytes: file.length }
  const textOffset = view.getBigUint64(TEXT_OFFSET, true)
  if (textOffset >= BigInt(IMAGE_ALIGNMENT))
    throw new LoaderError(
      'ERR_FIELD',
      'text_offset',
      `0x${textOffset.toString(16)}`,
      `less than ${hex(IMAGE_ALIGNMENT)}`,
    )
  if (size < BigInt(file.length))
    throw new LoaderError(
      'ERR_FIELD',
      'image_size',
      `0x${size.toString(16)}`,
      `at least the file's ${file.length} bytes`,
    )
  return { textOffset: Number(textOffset), imageBytes: Number(size) }
}

/**
 * The Image in a file: as it is, in a gzip file, or in an EFI image that decompresses itself.
 *
 * @param limit - most bytes that the unpacked image may have
 * @param unzstd - absent: this host has no Zstandard
 * @throws LoaderError naming the field of a compressed image that cannot be read
 */
export async function unpackImage(
  file: Uint8Array,
  limit: number,
  unzstd: Decompress | undefined,
): Promise<Uint8Array> {
  const view = viewOf(file)
  if (isGzip(file)) return gunzip(file, limit)
  const isZboot =
    file.length >= HEADER_BYTES &&
    view.getUint16(0, true) === DOS_MAGIC &&
    view.getUint32(ZBOOT_MAGIC, true) === ZBOOT_MAGIC_VALUE
  if (!isZboot) return file
  const offset = view.getUint32(ZBOOT_PAYLOAD_OFFSET, true)
  const bytes = view.getUint32(ZBOOT_PAYLOAD_BYTES, true)
  if (offset + bytes > file.length)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'payload_size',
      `${bytes} bytes at ${hex(offset)}`,
      `bytes inside the file, which ends at ${hex(file.length)}; it is truncated`,
    )
  const payload = file.subarray(offset, offset + bytes)
  const name = String.fromCharCode(...file.subarray(ZBOOT_METHOD, ZBOOT_METHOD_END))
  const method = name.slice(0, Math.max(0, name.indexOf('\0')))
  if (method === 'gzip') return gunzip(payload, limit)
  if (!method.startsWith('zstd')) throw new LoaderError('ERR_FIELD', 'compression type', method, 'gzip or zstd')
  if (unzstd === undefined)
    throw new LoaderError('ERR_FIELD', 'compression type', method, 'gzip: this host has no zstd, see the option unzstd')
  // The unpacked size follows the payload.
  if (offset + bytes + 4 > file.length)
    throw new LoaderError('ERR_TRUNCATED', 'payload_size', bytes, 'the size of the kernel behind the payload')
  const size = view.getUint32(offset + bytes, true)
  if (size > limit) throw tooLarge(limit)
  return checked(await unzstd(payload, size))
}

async function gunzip(data: Uint8Array, limit: number): Promise<Uint8Array> {
  const image = await decompress('gzip', data, limit + 1)
  if (image === undefined)
    throw new LoaderError('ERR_FORMAT', 'kernel', 'a gzip file', 'an uncompressed Image: this host cannot decompress')
  if (image.length > limit) throw tooLarge(limit)
  return checked(image)
}

const tooLarge = (limit: number): LoaderError =>
  new LoaderError('ERR_NO_ROOM', 'kernel', `more than ${limit} bytes`, 'a kernel that fits into RAM')

/** @throws LoaderError for data that is not an Image */
function checked(image: Uint8Array): Uint8Array {
  if (isImage(image)) return image
  throw new LoaderError('ERR_FORMAT', 'kernel', `${image.length} decompressed bytes`, AN_IMAGE)
}
