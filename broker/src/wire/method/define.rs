//! The macro behind the method tables.

/// Defines the methods of one class: a structure for each, their enumeration, and how they are read
/// and written. The order of the fields is the order on the wire.
macro_rules! class {
    (
        $class_name:literal $class_id:literal $(<$class_life:lifetime>)?;
        $(
            $method_id:literal $method_name:literal $sender:ident
            $Structure:ident $(<$life:lifetime>)? {
                $($field:ident: $type:ty),* $(,)?
            }
        )*
    ) => {
        use crate::wire::arguments::{ArgumentReader, ArgumentWriter};
        use crate::wire::error::{ArgumentError, EncodeError};
        use crate::wire::method::Sender;

        #[doc = concat!("The number of class `", $class_name, "`.")]
        pub const CLASS_ID: u16 = $class_id;

        #[doc = concat!("A method of class `", $class_name, "`.")]
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Method $(<$class_life>)? {
            $(
                #[doc = concat!("`", $class_name, ".", $method_name, "`")]
                $Structure($Structure $(<$life>)?),
            )*
        }

        $(
            #[doc = concat!("The arguments of `", $class_name, ".", $method_name, "`.")]
            #[derive(Clone, Copy, Debug, PartialEq)]
            pub struct $Structure $(<$life>)? {
                $(
                    #[doc = concat!("The argument `", stringify!($field), "`.")]
                    pub $field: $type,
                )*
            }

            impl<'a> From<$Structure $(<$life>)?> for crate::wire::method::Method<'a> {
                fn from(method: $Structure $(<$life>)?) -> Self {
                    Self::from(Method::$Structure(method))
                }
            }
        )*

        impl $(<$class_life>)? Method $(<$class_life>)? {
            /// The method's number within its class.
            #[must_use]
            pub fn method_id(&self) -> u16 {
                match self {
                    $(Self::$Structure(_) => $method_id,)*
                }
            }

            /// The method's full name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$Structure(_) => concat!($class_name, ".", $method_name),)*
                }
            }

            /// Who may send the method.
            #[must_use]
            pub fn sender(&self) -> Sender {
                match self {
                    $(Self::$Structure(_) => Sender::$sender,)*
                }
            }

            pub(in crate::wire) fn write(
                &self,
                writer: &mut ArgumentWriter<'_>,
            ) -> Result<(), EncodeError> {
                match self {
                    $(
                        Self::$Structure($Structure { $($field),* }) => {
                            $(crate::wire::arguments::Argument::write($field, writer)?;)*
                        }
                    )*
                }
                let _ = writer;
                Ok(())
            }
        }

        /// Reads the arguments of a method; `None` if the class has no such method.
        #[inline]
        pub(in crate::wire) fn read<'a>(
            method_id: u16,
            reader: &mut ArgumentReader<'a>,
        ) -> Option<Result<Method $(<$class_life>)?, ArgumentError>> {
            match method_id {
                $($method_id => Some(read_arguments::$Structure(reader).map(Method::$Structure)),)*
                _ => None,
            }
        }

        #[allow(non_snake_case, reason = "each function is named after the structure it reads")]
        mod read_arguments {
            use super::*;
            $(
                #[inline]
                pub(super) fn $Structure<'a>(
                    reader: &mut ArgumentReader<'a>,
                ) -> Result<super::$Structure $(<$life>)?, ArgumentError> {
                    $(let $field = crate::wire::arguments::Argument::read(reader)?;)*
                    let _ = reader;
                    Ok(super::$Structure { $($field),* })
                }
            )*
        }
    };
}
