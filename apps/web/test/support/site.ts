import { madeOnce } from '@retrap/tooling/made-once'
import { bundleSite } from './bundle-site.ts'

/** The site, built from sources by the first test file that asks. @returns its files by name */
export const buildSite = (): Promise<Map<string, Uint8Array>> => madeOnce('site', bundleSite)
