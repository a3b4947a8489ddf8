/*
 * Room for the largest instruction there is. Walks count five levels; each level is a read and, at most, an A/D write.
 * A device may take one byte at a time, so that a device operand of n bytes counts n accesses, RAM one for each page.
 *
 *   every instruction      fetch over two pages: 2 accesses, 2 walks (20 entries)                             22
 *   gather, scatter        16 elements over two pages each: 32 walks (320); 64 bytes of data from devices    384
 *   XSAVE, XRSTOR          11,008 bytes (x87 … ZMM, PKRU, tiles) over four pages: 4 walks (40); 8-byte accesses 1,376,
 *                          and the header's 64 bytes, read one at a time                                   1,480
 *   TILELOADD, TILESTORED  16 rows of 64 bytes over two pages each: 32 walks (320); 1,024 bytes of devices 1,344
 *   task switch            not in long mode: walks of three levels (6 entries); old TSS, new TSS and stack two pages
 *                          each, nine descriptors over two pages each: 24 walks (144); device bytes: 104 + 104
 *                          of the TSSs, 9 × 8 of descriptors, accessed and busy bits 9 + 2, link 2, error code 4
 *                                                                                                            441
 *   ENTER, level 31        33 pushes, 31 reads of 8 bytes, 512 bytes device bytes, four pages (40)           552
 *   far call, call gate    31 parameters read and pushed, 4 bytes each, 5 more pushes, 4 descriptors, 6 bytes of TSS:
 *                          device bytes 124 + 144 + 32 + 6; 14 walks (140)                                   446
 *
 * The largest sum is 1,502 entries. Values that no walk kept, because its A/D exchange failed, are overwritten, and so is
 * an earlier A/D write of the same entry: racing vCPUs use no further room. Data is kept in units of 8 bytes: 8 for each
 * entry, and XSAVE's 11,008 in 64-byte RAM accesses need no more than that.
 */
/** Accesses a log holds. */
export const LOG_ENTRIES = 2048
/** Bytes of data a log holds. */
export const LOG_DATA_BYTES = 0x4000
/** The largest single access. */
export const MAX_ACCESS_BYTES = 64

// Header words. All zero is an idle log.
export const H_ACTIVE = 0
export const H_COUNT = 1
/** Records that this pass has reached. */
export const H_CURSOR = 2
export const H_DATA_USED = 3
export const H_PASS = 4
/** Number of the walk begun last in this pass. */
export const H_WALK = 5
/** Index of the waiting access plus 1; 0: none. */
export const H_PENDING = 6
/** Index of the last recorded walk read plus 1; 0: none. */
export const H_LAST_WALK = 7
export const HEADER_WORDS = 8

// Entry words.
export const E_KIND = 0
export const E_STATE = 1
export const E_SIZE = 2
export const E_TAG = 3
export const E_LO = 4
export const E_HI = 5
export const E_DATA = 6
/** Walk reads: number of the first walk that used the entry. */
export const E_BORN = 7
/** Number of the walk whose A/D exchange failed on a walk read; later walks read afresh. */
export const E_DIED = 8
/** Walk reads: the previous walk read, −1 if none. */
export const E_NEXT = 9
/** Walk reads: the last walk of this pass that used the entry. */
export const E_USED = 10
export const ENTRY_WORDS = 11

export const NEVER = 0x7fff_ffff
/** Offset of the data in a log's storage, in bytes. */
export const DATA_BYTE: number = (HEADER_WORDS + LOG_ENTRIES * ENTRY_WORDS) * 4

/** The storage that a log needs, in bytes. */
export const LOG_BYTES: number = DATA_BYTE + LOG_DATA_BYTES

/** Index of a field of a record, in words. */
export function at(record: number, field: number): number {
  return HEADER_WORDS + record * ENTRY_WORDS + field
}
