/**
 * The part of fs-ext that varve uses. It is an optional dependency with native code and comes without types; where it
 * could not be built, importing it fails.
 */
declare module 'fs-ext' {
  const fsExt: {
    /** Throws an error with `code` EAGAIN (or EWOULDBLOCK) if the lock cannot be had at once. */
    flockSync(this: void, fd: number, mode: 'exnb' | 'shnb'): void
  }
  export default fsExt
}
