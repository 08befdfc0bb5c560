/**
 * The codes of PROTOCOL.md §11 after which the same act may succeed, by what tells them from the others. A list of its own, since the
 * table would cost every page a kilobyte; the test holds the two together.
 */
export const MAY_RETRY = /^(exp|keys|not_[rs]|unk|ov|sl|rest|int|out|dis)|timeout|many_r/;
