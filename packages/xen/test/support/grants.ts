/** Numbers of public/grant_table.h, and where tests have their grants. */

export const OP = { map: 0, unmap: 1, setup: 2, copy: 5, query: 6, setVersion: 8, status: 9, getVersion: 10, swap: 11 }
export const STATUS = { general: -1, badDomain: -2, badRef: -3, badAddress: -5, denied: -8, badPage: -9, again: -12 }
/** The guest's own number. */
export const OWN = 1
/** Where the table is put, RAM to grant, and a place for what is granted. */
export const TABLE = 0x300
export const GRANTED = 0x200
export const PLACE = 0x1000
export const PERMIT = 1
export const READ_ONLY = 4
export const READING = 8
export const WRITING = 16

export const s16 = (value: number): number => (value << 16) >> 16
