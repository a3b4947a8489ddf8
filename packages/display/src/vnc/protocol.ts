/*
 * Numbers of the RFB protocol.
 *
 * Source: RFC 6143, "The Remote Framebuffer Protocol"; the community's rfbproto for its extensions: Tight, extended desktop size,
 * QEMU's extended key event and pointer motion change.
 */
export const VERSION = 'RFB 003.008\n'

export const SECURITY_NONE = 1
export const SECURITY_VNC = 2
export const CHALLENGE_BYTES = 16

/** Messages of a client. */
export const SET_PIXEL_FORMAT = 0
export const SET_ENCODINGS = 2
export const UPDATE_REQUEST = 3
export const KEY_EVENT = 4
export const POINTER_EVENT = 5
export const CUT_TEXT = 6
export const SET_DESKTOP_SIZE = 251
export const QEMU_MESSAGE = 255
export const QEMU_KEY_EVENT = 0

/** Messages of the server. */
export const UPDATE = 0
export const SET_COLOUR_MAP = 1

export const RAW = 0
export const TIGHT = 7
export const ZRLE = 16
/** Pseudo-encodings, as the 32 bits that a client sends. */
export const DESKTOP_SIZE = -223
export const CURSOR = -239
export const EXTENDED_DESKTOP_SIZE = -308
export const QEMU_POINTER_MOTION = -257
export const QEMU_EXTENDED_KEYS = -258

/** The side that wishes a size, in an extended desktop size. */
export const SIZE_OF_SERVER = 0
export const SIZE_OF_CLIENT = 1
export const SIZE_PROHIBITED = 1
